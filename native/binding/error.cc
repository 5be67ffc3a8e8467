#include "binding/error.h"

#include "binding/addon_data.h"

namespace warpbook::binding {

Napi::Value make_error(Napi::Env env, const std::string& code, const std::string& message) {
  const Napi::FunctionReference& error_class = AddonData::of(env).error_class;
  if (!error_class.IsEmpty()) {
    return error_class.New({Napi::String::New(env, code), Napi::String::New(env, message)});
  }
  Napi::Object error = Napi::Error::New(env, message).Value();
  error.Set("code", code);
  return error;
}

}  // namespace warpbook::binding
