// The commands that a stream's queue holds; see Command in stream.h for the contract of each method.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cpu/device.h"

namespace warpbook::cpu {

struct WorkCommand final : Command {
  WorkCommand(Work work, Parallel& parallel) : work(std::move(work)), parallel(parallel) {}
  void run() override { execute(work, parallel); }
  std::string describe() const override { return cpu::describe(work); }

  Work work;
  Parallel& parallel;
};

// Owns the bytes, because the caller may reuse its own at once.
struct WriteCommand final : Command {
  WriteCommand(uint8_t* target, const uint8_t* source, size_t num_bytes)
      : target(target), bytes(source, source + num_bytes) {}
  void run() override {
    if (!bytes.empty()) std::memcpy(target, bytes.data(), bytes.size());
  }
  std::string describe() const override { return "write of " + std::to_string(bytes.size()) + " bytes"; }

  uint8_t* target;
  std::vector<uint8_t> bytes;
};

struct ReadCommand final : Command {
  ReadCommand(const uint8_t* source, size_t num_bytes, const Health& health, Device::OnBytes done)
      : source(source), num_bytes(num_bytes), health(health), done(std::move(done)) {}
  void run() override {
    try {
      bytes = std::make_shared<Memory>(num_bytes);
    } catch (const std::bad_alloc&) {
      return;  // this read's own failure, not the device's
    }
    if (num_bytes > 0) std::memcpy(bytes->data(), source, num_bytes);
  }
  void settle() override {
    if (bytes) {
      done("", "", std::move(bytes));
    } else if (!health.ok()) {
      done(health.code(), health.message(), nullptr);
    } else {
      done("OUT_OF_MEMORY", "The host has no " + std::to_string(num_bytes) + " bytes left for a read; read a part.",
           nullptr);
    }
  }
  std::string describe() const override { return "read of " + std::to_string(num_bytes) + " bytes"; }

  const uint8_t* source;
  size_t num_bytes;
  const Health& health;
  Device::OnBytes done;
  MemoryPtr bytes;
};

struct RecordCommand final : Command {
  explicit RecordCommand(std::shared_ptr<EventRecord> record) : record(std::move(record)) {}
  void settle() override { record->reach(); }
  std::string describe() const override { return "event record"; }

  std::shared_ptr<EventRecord> record;
};

struct WaitCommand final : Command {
  explicit WaitCommand(std::shared_ptr<EventRecord> record) : record(std::move(record)) {}
  void run() override { record->wait(); }
  std::string describe() const override { return "event wait"; }

  std::shared_ptr<EventRecord> record;
};

struct ReplayCommand final : Command {
  ReplayCommand(std::shared_ptr<const ExecNodes> nodes, Parallel& parallel, const Health& health)
      : nodes(std::move(nodes)), parallel(parallel), health(health) {}
  void run() override {
    for (current = 0; current < nodes->size() && health.ok(); ++current) {
      const ExecNode& node = (*nodes)[current];
      if (node.enabled) execute(*node.work, parallel);
    }
  }
  std::string describe() const override {
    return "graph replay, node " + std::to_string(current) + ": " + cpu::describe(*(*nodes)[current].work);
  }

  std::shared_ptr<const ExecNodes> nodes;
  Parallel& parallel;
  const Health& health;
  size_t current = 0;
};

// An upload of a graph: there is nowhere to go, but it is an operation as on CUDA.
struct UploadCommand final : Command {
  std::string describe() const override { return "graph upload"; }
};

struct SynchronizeCommand final : Command {
  SynchronizeCommand(const Health& health, Device::OnTime done) : health(health), done(std::move(done)) {}
  void settle() override {
    if (!health.ok()) {
      done(health.code(), health.message(), 0);
    } else {
      done("", "", steady_ns());
    }
  }
  std::string describe() const override { return "synchronize"; }
  bool is_operation() const override { return false; }

  const Health& health;
  Device::OnTime done;
};

// Holds freed memory until everything that was enqueued before has finished.
struct ReleaseCommand final : Command {
  explicit ReleaseCommand(MemoryPtr memory) : memory(std::move(memory)) {}
  std::string describe() const override { return "release"; }
  bool is_operation() const override { return false; }

  MemoryPtr memory;
};

}  // namespace warpbook::cpu
