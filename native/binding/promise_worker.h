// The only way from a native thread to JavaScript: settling a promise. Nothing else may call JavaScript from a
// thread that isn't JavaScript's own.
#pragma once

#include <napi.h>

#include <functional>
#include <string>

namespace warpbook::binding {

// One per environment. While a promise is pending the process stays alive, otherwise nothing here holds it.
class PromiseWorker {
 public:
  // Makes the promise's value, on JavaScript's thread.
  using MakeValue = std::function<Napi::Value(Napi::Env)>;

  // A promise that some thread will settle, exactly once.
  class Pending {
   public:
    Napi::Promise promise() const { return deferred_.Promise(); }
    // From any thread; the object is gone afterwards.
    void resolve(MakeValue make_value);
    void reject(std::string code, std::string message);

   private:
    friend class PromiseWorker;
    Pending(PromiseWorker& worker, Napi::Env env) : worker_(worker), deferred_(env) {}
    void settle();

    PromiseWorker& worker_;
    Napi::Promise::Deferred deferred_;
    MakeValue make_value_;
    std::string code_;
    std::string message_;
  };

  explicit PromiseWorker(Napi::Env env);

  // JavaScript's thread only.
  Pending* start(Napi::Env env);

 private:
  static void call_js(Napi::Env env, Napi::Function, PromiseWorker* worker, Pending* pending);
  using Function = Napi::TypedThreadSafeFunction<PromiseWorker, Pending, call_js>;

  Function function_;
  int64_t num_pending_ = 0;
};

}  // namespace warpbook::binding
