// Errors on their way to JavaScript: instances of the WarpbookError class that JavaScript handed over, so that
// `instanceof` and `code` work as for errors thrown in TypeScript.
#pragma once

#include <napi.h>

#include <string>

namespace warpbook::binding {

// A plain Error with a `code` where no class has been handed over yet.
Napi::Value make_error(Napi::Env env, const std::string& code, const std::string& message);

}  // namespace warpbook::binding
