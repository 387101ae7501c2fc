// SPDX-License-Identifier: MIT
//
// Result<T>: a value or an error sentence. Library code returns one, programs log it.
// Thin on purpose: the day the compiler has std::expected this file becomes an alias.
#pragma once

#include <fmt/format.h>
#include <string>
#include <utility>
#include <variant>

namespace viaduct {

// One sentence for a person: what was wrong, where, and (where we know) what to do.
struct Error {
  std::string message;
};

template <typename... Args> Error error(fmt::format_string<Args...> format, Args &&...args) {
  return Error{fmt::format(format, std::forward<Args>(args)...)};
}

// "cannot open /dev/net/tun: No such file or directory"; `number` is an errno value.
Error system_error(std::string what, int number);

template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : content_(std::move(value)) {}
  Result(Error failure) : content_(std::move(failure)) {}

  explicit operator bool() const { return content_.index() == 0; }
  T &operator*() { return std::get<0>(content_); }
  const T &operator*() const { return std::get<0>(content_); }
  T *operator->() { return &std::get<0>(content_); }
  const T *operator->() const { return &std::get<0>(content_); }
  const Error &failure() const { return std::get<1>(content_); }

private:
  std::variant<T, Error> content_;
};

// Success carries nothing.
template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error failure) : failed_(true), failure_(std::move(failure)) {}

  explicit operator bool() const { return !failed_; }
  const Error &failure() const { return failure_; }

private:
  bool failed_ = false;
  Error failure_;
};

} // namespace viaduct
