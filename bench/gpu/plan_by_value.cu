// A plan as a kernel's parameter instead of a copy: see plan_by_value.py.
struct Image {
  int4 words[1920];
};

extern "C" __global__ void write_image(const __grid_constant__ Image image, int4* target) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < 1920; i += gridDim.x * blockDim.x) target[i] = image.words[i];
}
extern "C" __global__ void read_image(const int4* image, int* sink) {
  if (image[threadIdx.x].x == -12345) *sink = 1;
}
