// Handles that the caller chose -> objects. One table per kind of object.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cpu {

using Handle = int64_t;

template <typename T>
class HandleTable {
 public:
  // `kind` names the objects in messages, such as "buffer".
  explicit HandleTable(const char* kind) : kind_(kind) {}

  void add(Handle handle, T object) {
    if (!objects_.emplace(handle, std::move(object)).second) {
      throw Misuse("got " + name(handle) + " twice; wanted a handle that is not in use");
    }
  }
  // Lets a caller that is about to make an expensive object fail first.
  void require_free(Handle handle) const {
    if (objects_.count(handle) != 0) throw Misuse("got " + name(handle) + " twice; wanted a handle that is not in use");
  }
  T& get(Handle handle) {
    const auto it = objects_.find(handle);
    if (it == objects_.end()) throw Misuse("got " + name(handle) + ", which does not exist; wanted a live handle");
    return it->second;
  }
  T take(Handle handle) {
    T object = std::move(get(handle));
    objects_.erase(handle);
    return object;
  }
  void clear() { objects_.clear(); }
  size_t size() const { return objects_.size(); }
  std::unordered_map<Handle, T>& all() { return objects_; }
  // "buffer 7": for messages.
  std::string name(Handle handle) const { return std::string(kind_) + " " + std::to_string(handle); }

 private:
  const char* kind_;
  std::unordered_map<Handle, T> objects_;
};

}  // namespace warpbook::cpu
