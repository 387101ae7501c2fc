// SPDX-License-Identifier: MIT
#include "control/requests.h"

#include <optional>

namespace viaduct::control {

namespace {

using nlohmann::json;

Result<std::optional<Filter>> filter_of(const json &request, Filter::Of of) {
  auto found = request.find("filter");
  if (found == request.end())
    return std::optional<Filter>();
  if (!found->is_string())
    return error("the request's \"filter\" is not a string");
  auto filter = Filter::parse(found->get_ref<const std::string &>(), of);
  if (!filter)
    return filter.failure();
  return std::optional<Filter>(std::move(*filter));
}

} // namespace

Result<std::unique_ptr<Answer>> sessions_request(const tables::Tables &tables, const json &request,
                                                 Now now) {
  auto filter = filter_of(request, Filter::Of::sessions);
  if (!filter)
    return filter.failure();
  return sessions_answer(tables, std::move(now), std::move(*filter));
}

Result<std::unique_ptr<Answer>> bindings_request(const tables::Tables &tables,
                                                 const json &request) {
  auto filter = filter_of(request, Filter::Of::bindings);
  if (!filter)
    return filter.failure();
  return bindings_answer(tables, std::move(*filter));
}

Result<std::unique_ptr<Answer>> clear_request(const json &request, const Sweep &sweep) {
  auto filter = filter_of(request, Filter::Of::sessions);
  if (!filter)
    return filter.failure();
  auto all = request.find("all");
  bool everything = all != request.end() && *all == true;
  if (everything == filter->has_value())
    return error("clear needs either a \"filter\" or \"all\":true, so that nobody ends all "
                 "sessions by mistake");
  uint64_t ended = 0;
  sweep([&](const dp::session_key &key, const dp::session &value) {
    bool lives = __atomic_load_n(&value.expires, __ATOMIC_RELAXED) != SESSION_DEAD;
    bool meant = lives && (everything || (*filter)->matches(key, value));
    ended += meant ? 1 : 0;
    return meant ? dp::WHY_CLEARED : dp::WHY_NONE;
  });
  return one_item({{"ended", ended}});
}

} // namespace viaduct::control
