// SPDX-License-Identifier: MIT
#include "control/reasons.h"

namespace viaduct::control {

namespace {

constexpr const char *kind_EVENT = "event";
constexpr const char *kind_DONE = "done";
constexpr const char *kind_PASS = "pass";
constexpr const char *kind_DROP = "drop";
constexpr const char *kind_HELD = "held";
constexpr const char *kind_PUNT = "punt";

// The advice stands in lines of its own, in any order.
constexpr std::array<ReasonText, dp::REASON_COUNT> make_texts() {
  std::array<ReasonText, dp::REASON_COUNT> texts = {{
      {"none", kind_EVENT, "", "", "", ""},
#define REASON(name, kind, rfc, help) {#name, kind_##kind, rfc, help, nullptr, nullptr},
#include "datapath/reasons.def"
#undef REASON
  }};
#define REASON(name, kind, rfc, help)
#define ADVICE(name, cause, what_to_do)                                                            \
  texts[dp::REASON_##name].causes = (cause);                                                       \
  texts[dp::REASON_##name].advice = (what_to_do);
#include "datapath/reasons.def"
#undef REASON
  return texts;
}

constexpr auto texts = make_texts();

constexpr bool every_reason_has_advice() {
  for (const auto &text : texts)
    if (text.causes == nullptr || text.advice == nullptr)
      return false;
  return true;
}
static_assert(every_reason_has_advice(),
              "a REASON in datapath/reasons.def has no ADVICE (below it in the same file)");

} // namespace

const std::array<ReasonText, dp::REASON_COUNT> &reason_texts() {
  return texts;
}

} // namespace viaduct::control
