// The one table of driver functions: X(function, symbol in libcuda, CUDA version that brought it, required,
// parameters). A function that isn't required is missing on older drivers; its users have another way, or refuse by
// name.
#pragma once

#include "cuda/driver_types.h"

#define WARPBOOK_CUDA_FUNCTIONS(X)                                                                                    \
  X(cuInit, "cuInit", 2000, true, (unsigned int flags))                                                               \
  X(cuDriverGetVersion, "cuDriverGetVersion", 2020, true, (int* version))                                             \
  X(cuGetErrorName, "cuGetErrorName", 6000, true, (CUresult error, const char** name))                                \
  X(cuGetErrorString, "cuGetErrorString", 6000, true, (CUresult error, const char** text))                            \
  X(cuDeviceGetCount, "cuDeviceGetCount", 2000, true, (int* count))                                                   \
  X(cuDeviceGet, "cuDeviceGet", 2000, true, (CUdevice * device, int ordinal))                                         \
  X(cuDeviceGetName, "cuDeviceGetName", 2000, true, (char* name, int length, CUdevice device))                        \
  X(cuDeviceTotalMem, "cuDeviceTotalMem_v2", 3020, true, (size_t * bytes, CUdevice device))                           \
  X(cuDeviceGetAttribute, "cuDeviceGetAttribute", 2000, true,                                                         \
    (int* value, CUdevice_attribute which, CUdevice device))                                                          \
  X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", 7000, true, (CUcontext * context, CUdevice device))         \
  X(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", 11000, true, (CUdevice device))                        \
  X(cuCtxSetCurrent, "cuCtxSetCurrent", 4000, true, (CUcontext context))                                              \
  X(cuMemGetInfo, "cuMemGetInfo_v2", 3020, true, (size_t * free_bytes, size_t* total_bytes))                          \
  X(cuMemAlloc, "cuMemAlloc_v2", 3020, true, (CUdeviceptr * address, size_t bytes))                                   \
  X(cuMemFree, "cuMemFree_v2", 3020, true, (CUdeviceptr address))                                                     \
  X(cuMemPoolCreate, "cuMemPoolCreate", 11020, true, (CUmemoryPool * pool, const CUmemPoolProps* properties))         \
  X(cuMemPoolDestroy, "cuMemPoolDestroy", 11020, true, (CUmemoryPool pool))                                           \
  X(cuMemPoolSetAttribute, "cuMemPoolSetAttribute", 11020, true,                                                      \
    (CUmemoryPool pool, CUmemPool_attribute which, void* value))                                                      \
  X(cuMemPoolGetAttribute, "cuMemPoolGetAttribute", 11020, true,                                                      \
    (CUmemoryPool pool, CUmemPool_attribute which, void* value))                                                      \
  X(cuMemPoolTrimTo, "cuMemPoolTrimTo", 11020, true, (CUmemoryPool pool, size_t bytes_to_keep))                       \
  X(cuMemAllocFromPoolAsync, "cuMemAllocFromPoolAsync", 11020, true,                                                  \
    (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))                                        \
  X(cuMemFreeAsync, "cuMemFreeAsync", 11020, true, (CUdeviceptr address, CUstream stream))                            \
  X(cuMemHostAlloc, "cuMemHostAlloc", 2020, true, (void** address, size_t bytes, unsigned int flags))                 \
  X(cuMemFreeHost, "cuMemFreeHost", 2000, true, (void* address))                                                      \
  X(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", 3020, true,                                                            \
    (CUdeviceptr target, const void* source, size_t bytes, CUstream stream))                                          \
  X(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", 3020, true,                                                            \
    (void* target, CUdeviceptr source, size_t bytes, CUstream stream))                                                \
  X(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", 3020, true,                                                            \
    (CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream))                                          \
  X(cuMemsetD8Async, "cuMemsetD8Async", 3020, true,                                                                   \
    (CUdeviceptr target, unsigned char value, size_t count, CUstream stream))                                         \
  X(cuMemsetD16Async, "cuMemsetD16Async", 3020, true,                                                                 \
    (CUdeviceptr target, unsigned short value, size_t count, CUstream stream))                                        \
  X(cuMemsetD32Async, "cuMemsetD32Async", 3020, true,                                                                 \
    (CUdeviceptr target, unsigned int value, size_t count, CUstream stream))                                          \
  X(cuMemsetD2D8Async, "cuMemsetD2D8Async", 3020, true,                                                               \
    (CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height, CUstream stream))            \
  X(cuMemsetD2D32Async, "cuMemsetD2D32Async", 3020, true,                                                             \
    (CUdeviceptr target, size_t pitch, unsigned int value, size_t width, size_t height, CUstream stream))             \
  X(cuStreamCreate, "cuStreamCreate", 2000, true, (CUstream * stream, unsigned int flags))                            \
  X(cuStreamDestroy, "cuStreamDestroy_v2", 4000, true, (CUstream stream))                                             \
  X(cuStreamQuery, "cuStreamQuery", 2000, true, (CUstream stream))                                                    \
  X(cuStreamSynchronize, "cuStreamSynchronize", 2000, true, (CUstream stream))                                        \
  X(cuStreamWaitEvent, "cuStreamWaitEvent", 3020, true, (CUstream stream, CUevent event, unsigned int flags))         \
  X(cuEventCreate, "cuEventCreate", 2000, true, (CUevent * event, unsigned int flags))                                \
  X(cuEventDestroy, "cuEventDestroy_v2", 4000, true, (CUevent event))                                                 \
  X(cuEventRecord, "cuEventRecord", 2000, true, (CUevent event, CUstream stream))                                     \
  X(cuEventQuery, "cuEventQuery", 2000, true, (CUevent event))                                                        \
  X(cuEventSynchronize, "cuEventSynchronize", 2000, true, (CUevent event))                                            \
  X(cuEventElapsedTime, "cuEventElapsedTime", 2000, true, (float* milliseconds, CUevent start, CUevent end))          \
  X(cuModuleLoadDataEx, "cuModuleLoadDataEx", 2010, true,                                                             \
    (CUmodule * module, const void* image, unsigned int num_options, CUjit_option* options, void** values))           \
  X(cuModuleUnload, "cuModuleUnload", 2000, true, (CUmodule module))                                                  \
  X(cuModuleGetFunction, "cuModuleGetFunction", 2000, true,                                                           \
    (CUfunction * function, CUmodule module, const char* name))                                                       \
  X(cuFuncGetAttribute, "cuFuncGetAttribute", 2020, true,                                                             \
    (int* value, CUfunction_attribute which, CUfunction function))                                                    \
  X(cuFuncSetAttribute, "cuFuncSetAttribute", 9000, true,                                                             \
    (CUfunction function, CUfunction_attribute which, int value))                                                     \
  X(cuFuncGetParamInfo, "cuFuncGetParamInfo", 12040, false,                                                           \
    (CUfunction function, size_t index, size_t* offset, size_t* size))                                                \
  X(cuFuncLoad, "cuFuncLoad", 12040, false, (CUfunction function))                                                    \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor, "cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050, true,           \
    (int* num_ctas, CUfunction function, int threads, size_t dynamic_shared_bytes))                                   \
  X(cuOccupancyMaxActiveClusters, "cuOccupancyMaxActiveClusters", 11080, true,                                        \
    (int* num_clusters, CUfunction function, const CUlaunchConfig* config))                                           \
  X(cuLaunchKernelEx, "cuLaunchKernelEx", 11060, true,                                                                \
    (const CUlaunchConfig* config, CUfunction function, void** params, void** extra))                                 \
  X(cuStreamBeginCapture, "cuStreamBeginCapture_v2", 10010, true, (CUstream stream, CUstreamCaptureMode mode))        \
  X(cuStreamEndCapture, "cuStreamEndCapture", 10000, true, (CUstream stream, CUgraph* graph))                         \
  X(cuStreamGetCaptureInfo_v2, "cuStreamGetCaptureInfo_v2", 11030, true,                                              \
    (CUstream stream, int* status, uint64_t* id, CUgraph* graph, const CUgraphNode** nodes, size_t* num_nodes))       \
  X(cuStreamGetCaptureInfo_v3, "cuStreamGetCaptureInfo_v3", 12030, false,                                             \
    (CUstream stream, int* status, uint64_t* id, CUgraph* graph, const CUgraphNode** nodes,                           \
     const CUgraphEdgeData** edges, size_t* num_nodes))                                                               \
  X(cuStreamUpdateCaptureDependencies, "cuStreamUpdateCaptureDependencies", 11030, true,                              \
    (CUstream stream, CUgraphNode* nodes, size_t num_nodes, unsigned int flags))                                      \
  X(cuGraphAddEmptyNode, "cuGraphAddEmptyNode", 10000, true,                                                          \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* dependencies, size_t num_dependencies))                    \
  X(cuGraphAddChildGraphNode, "cuGraphAddChildGraphNode", 10000, true,                                                \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* dependencies, size_t num_dependencies, CUgraph child))     \
  X(cuGraphConditionalHandleCreate, "cuGraphConditionalHandleCreate", 12030, false,                                   \
    (CUgraphConditionalHandle * handle, CUgraph graph, CUcontext context, unsigned int value, unsigned int flags))    \
  X(cuGraphAddNode, "cuGraphAddNode_v2", 12030, false,                                                                \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,                 \
     size_t num_dependencies, CUgraphNodeParams* params))                                                             \
  X(cuGraphGetNodes, "cuGraphGetNodes", 10000, true, (CUgraph graph, CUgraphNode* nodes, size_t* num_nodes))          \
  X(cuGraphGetEdges, "cuGraphGetEdges", 10000, true,                                                                  \
    (CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* num_edges))                                           \
  X(cuGraphGetEdges_v2, "cuGraphGetEdges_v2", 12030, false,                                                           \
    (CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* num_edges))                    \
  X(cuGraphDestroy, "cuGraphDestroy", 10000, true, (CUgraph graph))                                                   \
  X(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags", 11040, true,                                          \
    (CUgraphExec * exec, CUgraph graph, unsigned long long flags))                                                    \
  X(cuGraphUpload, "cuGraphUpload", 11010, true, (CUgraphExec exec, CUstream stream))                                 \
  X(cuGraphLaunch, "cuGraphLaunch", 10000, true, (CUgraphExec exec, CUstream stream))                                 \
  X(cuGraphExecKernelNodeSetParams, "cuGraphExecKernelNodeSetParams_v2", 12000, true,                                 \
    (CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v2* params))                                   \
  X(cuGraphExecUpdate, "cuGraphExecUpdate_v2", 12000, true,                                                           \
    (CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info))                                             \
  X(cuGraphNodeSetEnabled, "cuGraphNodeSetEnabled", 11060, true,                                                      \
    (CUgraphExec exec, CUgraphNode node, unsigned int enabled))                                                       \
  X(cuGraphExecDestroy, "cuGraphExecDestroy", 10000, true, (CUgraphExec exec))
