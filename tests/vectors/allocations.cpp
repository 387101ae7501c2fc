// SPDX-License-Identifier: MIT
//
// A malloc of this program's own stands before glibc's, and the libraries find it, too. A sanitizer has taken that
// place already and offers a hook.
#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER
#endif
#endif

namespace {

std::atomic<bool> counting = false;
std::atomic<uint64_t> counted = 0;

void count_one() {
  if (counting.load(std::memory_order_relaxed))
    counted.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

#ifdef UNDER_SANITIZER

// As in sanitizer/allocator_interface.h, which not every compiler brings.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *,
                                                                           size_t),
                                                         void (*freed)(const volatile void *));

namespace {
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void *, size_t) { count_one(); }, [](const volatile void *) {});
} // namespace

#else

extern "C" {

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  count_one();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  count_one();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  count_one();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  count_one();
  void *memory = __libc_memalign(alignment, size);
  if (memory == nullptr)
    return ENOMEM;
  *result = memory;
  return 0;
}

} // extern "C"

#endif

namespace viaduct::test {

Allocations::Allocations() : before_(counted) {
  counting = true;
}

Allocations::~Allocations() {
  counting = false;
}

uint64_t Allocations::count() const {
  return counted - before_;
}

} // namespace viaduct::test
