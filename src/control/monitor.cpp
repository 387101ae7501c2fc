// SPDX-License-Identifier: MIT
#include "control/monitor.h"

#include "base/clock.h"
#include "control/views.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace viaduct::control {

namespace {

using nlohmann::json;

bool is_of_binding(const dp::event &event) {
  return event.kind == dp::EVENT_BINDING_MADE || event.kind == dp::EVENT_BINDING_ENDED;
}

tables::BindingRow binding_of(const dp::event &event) {
  tables::BindingRow row{};
  row.key.inside = event.session.inside;
  row.key.inside_port = event.session.inside_port;
  row.key.protocol = event.key.protocol;
  row.value.pool_address = event.key.pool_address;
  row.value.pool_port = event.key.pool_port;
  return row;
}

bool matches(const Filter &filter, const dp::event &event) {
  if (!is_of_binding(event))
    return filter.matches(event.key, event.session);
  tables::BindingRow row = binding_of(event);
  return filter.may_match_bindings() && filter.matches(row.key, row.value);
}

// "2026-11-21T11:40:05.123Z"
std::string time_text(std::chrono::system_clock::time_point when) {
  auto since = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch());
  time_t seconds = since.count() / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     since.count() % 1000);
}

json binding_event_item(const dp::event &event) {
  json item = binding_item(binding_of(event));
  item.erase("sessions");
  return item;
}

json event_item(const dp::event &event) {
  constexpr std::array<const char *, dp::EVENT_KINDS> names = {
      "binding_made", "binding_ended", "session_made", "session_moved", "session_ended"};
  json item = is_of_binding(event) ? binding_event_item(event)
                                   : session_item({event.key, event.session}, monotonic_seconds());
  item["event"] = names.at(event.kind);
  if (event.kind == dp::EVENT_SESSION_MOVED)
    item["from"] = state_name(event.old_state);
  if (event.kind == dp::EVENT_SESSION_ENDED) {
    item["why"] = why_name(event.why);
    item.erase("expires_seconds");
  }
  return item;
}

} // namespace

void Monitors::Monitor::settle(Time when) {
  if (lost == 0 || queue.size() >= queue_limit)
    return;
  queue.push_back({when, {}, lost});
  lost = 0;
}

void Monitors::Monitor::add(Time when, const dp::event &event) {
  if (filter && !matches(*filter, event))
    return;
  settle(when);
  if (queue.size() < queue_limit)
    queue.push_back({when, event, 0});
  else
    lost++;
}

json Monitors::item_of(const Entry &entry) {
  json item =
      entry.lost != 0 ? json{{"event", "lost"}, {"count", entry.lost}} : event_item(entry.event);
  item["time"] = time_text(entry.when);
  return item;
}

// What one client hears; it leaves the list with its client.
class Monitors::Events : public Answer {
public:
  Events(std::shared_ptr<All> all, std::shared_ptr<Monitor> monitor)
      : all_(std::move(all)), monitor_(std::move(monitor)) {
    all_->push_back(monitor_);
  }
  ~Events() override { std::erase(*all_, monitor_); }
  Events(const Events &) = delete;
  Events &operator=(const Events &) = delete;

  Step next(json &item) override {
    auto now = std::chrono::system_clock::now();
    if (!begun_) { // what happens from here on is heard
      begun_ = true;
      item = {{"event", "begun"}, {"time", time_text(now)}};
      return Step::item;
    }
    monitor_->settle(now);
    if (monitor_->queue.empty())
      return Step::wait;
    item = item_of(monitor_->queue.front());
    monitor_->queue.pop_front();
    return Step::item;
  }
  bool endless() const override { return true; }

private:
  std::shared_ptr<All> all_;
  std::shared_ptr<Monitor> monitor_;
  bool begun_ = false;
};

Result<std::unique_ptr<Answer>> Monitors::request(const json &request) {
  auto monitor = std::make_shared<Monitor>();
  if (auto found = request.find("filter"); found != request.end()) {
    if (!found->is_string())
      return error("the request's \"filter\" is not a string");
    auto filter = Filter::parse(found->get_ref<const std::string &>(), Filter::Of::sessions);
    if (!filter)
      return filter.failure();
    monitor->filter = std::move(*filter);
  }
  if (count() >= most)
    return error("{} monitors run already: end one", most);
  if (!watching_)
    tables_.watch(true);
  watching_ = true;
  std::unique_ptr<Answer> answer = std::make_unique<Events>(all_, std::move(monitor));
  return answer;
}

void Monitors::turn() {
  if (count() == 0 && watching_)
    tables_.watch(false);
  watching_ = watching_ && count() != 0;
  if (!watching_)
    return;
  std::vector<dp::event> events;
  uint64_t lost = tables_.events(events_per_turn, events);
  auto now = std::chrono::system_clock::now();
  for (const auto &monitor : *all_) {
    for (const dp::event &event : events)
      monitor->add(now, event);
    monitor->lost += lost; // whether the filter would have let them through is not known
    monitor->settle(now);
  }
}

} // namespace viaduct::control
