// Streams and events of the fake driver, copies and fills.
#include <algorithm>
#include <cstring>

#include "fake_objects.h"

using namespace fake;

namespace fake {

void add_work(CUstream stream, std::function<void()> work, CUfunction function) {
  if (!stream->capture) return stream->push(std::move(work));
  auto& graph = *stream->capture->graph;
  graph.nodes.push_back(std::make_unique<CUgraphNode_st>());
  CUgraphNode node = graph.nodes.back().get();
  node->work = std::move(work);
  node->function = function;
  for (CUgraphNode source : stream->frontier) graph.edges.emplace_back(source, node);
  stream->frontier = {node};
}

CUgraphNode last_node(CUstream stream) { return stream->capture->graph->nodes.back().get(); }

}  // namespace fake

namespace {

template <typename T>
void fill(CUdeviceptr target, size_t pitch, T value, size_t width, size_t height) {
  for (size_t row = 0; row < height; ++row) {
    for (size_t i = 0; i < width; ++i) {
      std::memcpy(reinterpret_cast<uint8_t*>(target) + row * pitch + i * sizeof(T), &value, sizeof value);
    }
  }
}

}  // namespace

extern "C" {

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memcpy(reinterpret_cast<void*>(target), source, bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memcpy(target, reinterpret_cast<void*>(source), bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memmove(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, CUstream stream) {
  if (target % 2 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream stream) {
  FAKE_ENTER;
  if (target % 4 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD2D8Async(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream) {
  add_work(stream, [=] { fill(target, pitch, value, width, height); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD2D32Async(CUdeviceptr target, size_t pitch, unsigned value, size_t width, size_t height,
                            CUstream stream) {
  if (target % 4 != 0 || pitch % 4 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, pitch, value, width, height); });
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  FAKE_ENTER;
  *stream = new CUstream_st;
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy_v2(CUstream stream) {
  {
    std::lock_guard<std::mutex> lock(stream->mutex);
    stream->closing = true;
    stream->changed.notify_all();
  }
  // As the driver's: what is enqueued still runs.
  std::thread([stream] {
    stream->thread.join();
    delete stream;
  }).detach();
  return CUDA_SUCCESS;
}
CUresult cuStreamQuery(CUstream stream) {
  FAKE_ENTER;
  return stream->drained() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuStreamSynchronize(CUstream stream) {
  stream->synchronize();
  return sticky_error.load();
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  FAKE_ENTER;
  if (event->capture) {
    if (stream->capture && stream->capture != event->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    stream->capture = event->capture;
    stream->capture->streams.insert(stream);
    for (CUgraphNode node : event->captured_nodes) {
      if (std::find(stream->frontier.begin(), stream->frontier.end(), node) == stream->frontier.end()) {
        stream->frontier.push_back(node);
      }
    }
    return CUDA_SUCCESS;
  }
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  std::shared_ptr<Completion> record = event->record();
  if (record) stream->push([record] { record->wait(); });
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  FAKE_ENTER;
  *event = new CUevent_st;
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(CUevent event) {
  delete event;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  FAKE_ENTER;
  if (stream->capture) {
    event->capture = stream->capture;
    event->captured_nodes = stream->frontier;
    return CUDA_SUCCESS;
  }
  event->capture = nullptr;
  auto record = std::make_shared<Completion>();
  {
    std::lock_guard<std::mutex> lock(event->mutex);
    event->latest = record;
  }
  stream->push([record] { record->reach(); });
  return CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent event) {
  FAKE_ENTER;
  std::shared_ptr<Completion> record = event->record();
  if (!record) return CUDA_SUCCESS;
  std::lock_guard<std::mutex> lock(record->mutex);
  return record->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuEventSynchronize(CUevent event) {
  if (std::shared_ptr<Completion> record = event->record()) record->wait();
  return sticky_error.load();
}
CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  FAKE_ENTER;
  *milliseconds = std::chrono::duration<float, std::milli>(end->record()->time - start->record()->time).count();
  return CUDA_SUCCESS;
}

}  // extern "C"
