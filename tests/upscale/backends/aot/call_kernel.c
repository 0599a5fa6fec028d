/* Calls one function of a library of compiled kernels, so that a library for another processor can be tried under qemu.
 *
 *     call_kernel LIBRARY FUNCTION BYTES_PER_SAMPLE SCALE WIDTH HEIGHT RESULT_WIDTH < plane > result
 *
 * The structures are those of Halide 21's HalideRuntime.h. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct dimension { int32_t min, extent, stride; uint32_t flags; };
struct type { uint8_t code, bits; uint16_t lanes; };
struct buffer {
    uint64_t device; const void *interface; uint8_t *host; uint64_t flags;
    struct type type; int32_t dimensions; struct dimension *dim; void *padding;
};

int main(int count, char **given) {
    if (count != 8) return 2;
    int bytes = atoi(given[3]), s = atoi(given[4]), w = atoi(given[5]), h = atoi(given[6]), rw = atoi(given[7]), rh = s * h;
    void *library = dlopen(given[1], RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 3; }
    typedef int function(struct buffer *plane, int32_t tasks, struct buffer *result);
    function *kernel = (function *)dlsym(library, given[2]);
    if (!kernel) { fprintf(stderr, "%s\n", dlerror()); return 4; }
    struct dimension in[2] = {{0, w, 1, 0}, {0, h, w, 0}}, out[3] = {{0, rw, 1, 0}, {0, s, rw, 0}, {0, h, s * rw, 0}};
    struct buffer plane = {0, 0, malloc((size_t)w * h * bytes), 0, {1, 8 * bytes, 1}, 2, in, 0};
    struct buffer result = {0, 0, malloc((size_t)rw * rh * bytes), 0, {1, 8 * bytes, 1}, 3, out, 0};
    if (fread(plane.host, bytes, (size_t)w * h, stdin) != (size_t)w * h) return 5;
    if (kernel(&plane, 2, &result)) return 6;
    return fwrite(result.host, bytes, (size_t)rw * rh, stdout) != (size_t)rw * rh;
}
