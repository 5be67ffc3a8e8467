#include "binding/promise_worker.h"

#include <utility>

#include "binding/error.h"

namespace warpbook::binding {

PromiseWorker::PromiseWorker(Napi::Env env)
    : function_(Function::New(env, "warpbook promise worker", /*maxQueueSize=*/0, /*initialThreadCount=*/1, this)) {
  function_.Unref(env);
}

PromiseWorker::Pending* PromiseWorker::start(Napi::Env env) {
  if (num_pending_++ == 0) function_.Ref(env);
  return new Pending(*this, env);
}

void PromiseWorker::Pending::resolve(MakeValue make_value) {
  make_value_ = std::move(make_value);
  settle();
}

void PromiseWorker::Pending::reject(std::string code, std::string message) {
  code_ = std::move(code);
  message_ = std::move(message);
  settle();
}

void PromiseWorker::Pending::settle() {
  // Refused only while the environment is being torn down: then nobody waits any more.
  if (worker_.function_.NonBlockingCall(this) != napi_ok) delete this;
}

void PromiseWorker::call_js(Napi::Env env, Napi::Function, PromiseWorker* worker, Pending* pending) {
  // Without an environment the queue is being emptied after its end.
  if (env != nullptr) {
    Napi::HandleScope scope(env);
    if (--worker->num_pending_ == 0) worker->function_.Unref(env);
    try {
      if (pending->make_value_) {
        pending->deferred_.Resolve(pending->make_value_(env));
      } else {
        pending->deferred_.Reject(make_error(env, pending->code_, pending->message_));
      }
    } catch (const Napi::Error&) {
      // JavaScript can't run any more: a worker thread is being terminated, and whoever waited goes with it.
    }
  }
  delete pending;
}

}  // namespace warpbook::binding
