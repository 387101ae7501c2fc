// SPDX-License-Identifier: MIT
#include "tables/bpf_tables.h"

#include "tables/dry_walk.h"
#include "tables/libbpf_words.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>
#include <utility>

namespace viaduct::tables {

namespace {

constexpr size_t SMALLEST_DUMP = 64;
constexpr size_t LARGEST_DUMP = 4096;

// What one sweep looks at, and entries that are empty now as well: of a million sessions a quarter each second, so
// that it takes a tenth of a processor at most. A session may stay that much longer than its timer says.
constexpr size_t SESSIONS_PER_SWEEP = 262144;

// The dead that are collected before there is a burial: each waits for a grace period.
constexpr size_t DEAD_AT_ONCE = 65536;

template <typename Entry> bool find_in(const TableMaps &maps, const void *key, void *value) {
  using Table = MapTable<Entry>;
  return Table(maps).find(*static_cast<const typename Table::Key *>(key),
                          *static_cast<typename Table::Value *>(value));
}

template <typename Entry, typename Take>
uint64_t read_table(const TableMaps &maps, uint64_t cursor, size_t limit, const Take &take) {
  return MapTable<Entry>(maps, MapTable<Entry>::FOR_ALL).walk(cursor, limit, take);
}

// A piece of a hash map, a whole number of its buckets. The cursor is the kernel's, and one more:
// 0 starts and ends.
template <typename Key, typename Value, typename Take>
uint64_t read_hash(int map, uint64_t cursor, size_t limit, const Take &take) {
  size_t size = std::clamp(limit, SMALLEST_DUMP, LARGEST_DUMP);
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  for (;; size *= 2) { // a bucket that does not fit is asked for again
    std::vector<Key> keys(size);
    std::vector<Value> values(size);
    auto count = static_cast<uint32_t>(size);
    auto from = static_cast<uint32_t>(cursor - 1);
    uint32_t next = 0;
    int code = bpf_map_lookup_batch(map, cursor == 0 ? nullptr : &from, &next, keys.data(),
                                    values.data(), &count, &options);
    if (code == -ENOSPC)
      continue;
    if (code != 0 && code != -ENOENT)
      return 0;
    for (uint32_t i = 0; i < count; i++)
      take(keys[i], values[i]);
    return code == -ENOENT ? 0 : uint64_t{next} + 1;
  }
}

// Calls keeper rows in pieces of KEEPER_ROWS.
size_t piece_of(size_t rest) {
  return std::min<size_t>(rest, dp::KEEPER_ROWS);
}

} // namespace

// --- life --------------------------------------------------------------------------------------

BpfTables::BpfTables(const BpfOptions &options, std::unique_ptr<BpfObject> object,
                     std::unique_ptr<Keeper> keeper)
    : options_(options), object_(std::move(object)), keeper_(std::move(keeper)) {}

// What a predecessor has left is taken over as it is, or taken away: never a part of it.
Result<std::unique_ptr<BpfTables>> BpfTables::make(const BpfOptions &wish,
                                                   const std::optional<Pins> &pins) {
  auto there = pins ? pins->look() : Result<bool>(false);
  if (there && *there)
    if (auto fit = BpfObject::fits(*pins, wish.max_sessions); !fit)
      there = fit.failure();
  const bool adopt = there && *there;
  BpfOptions options = wish;
  options.adopt = adopt ? pins : std::nullopt;
  auto object = BpfObject::load(options);
  if (!object)
    return object.failure();
  auto keeper = Keeper::load(**object, options.testing);
  if (!keeper)
    return keeper.failure();
  std::unique_ptr<BpfTables> tables(new BpfTables(options, std::move(*object), std::move(*keeper)));
  if (!there) {
    tables->not_adopted_ = there.failure().message;
    pins->remove();
  }
  if (auto done = tables->start(); !done)
    return done.failure();
  if (auto done = adopt ? tables->adopt() : Result<void>(); !done)
    return done.failure();
  if (pins)
    tables->pin(*pins);
  return tables;
}

void BpfTables::pin(const Pins &pins) {
  if (auto done = object_->pin(pins); !done) {
    pins.remove();
    why_mortal_ = done.failure().message;
    return;
  }
  pins.remove_other_counters();
  pins_ = pins;
}

// The dead that the predecessor had taken out of their ring buffer are nowhere but in the tables.
// Those that are still in it are found there, too: each is to be buried once.
BpfTables::Living BpfTables::find_dead() {
  collect_dead();
  dead_.clear();
  auto look = [&](dp::dead_table table, auto is_dead, auto read) {
    uint64_t cursor = 0, living = 0;
    do
      cursor = read(cursor, [&](const auto &key, const auto &value) {
        if (!is_dead(value)) {
          living++;
          return;
        }
        dp::dead_entry entry{.table = table, .key = {}};
        std::memcpy(entry.key, &key, sizeof key);
        dead_.push_back(entry);
      });
    while (cursor != 0);
    return living;
  };
  auto counted = [](const auto &value) { return (value.sessions & BINDING_DEAD) != 0; };
  auto expired = [](const dp::session &value) { return value.expires == SESSION_DEAD; };
  Living living;
  living.sessions = look(dp::DEAD_SESSION, expired, [&](uint64_t cursor, auto take) {
    return read_table<dp::session_entry>(object_->sessions(), cursor, LARGEST_DUMP, take);
  });
  living.bindings = look(dp::DEAD_BINDING, counted, [&](uint64_t cursor, auto take) {
    return read_table<dp::binding_entry>(object_->bindings(), cursor, LARGEST_DUMP, take);
  });
  look(dp::DEAD_SUBSCRIBER, counted, [&](uint64_t cursor, auto take) {
    return read_hash<dp::subscriber_key, dp::subscriber>(object_->subscribers(), cursor,
                                                         LARGEST_DUMP, take);
  });
  look(dp::DEAD_PEER, counted, [&](uint64_t cursor, auto take) {
    return read_hash<dp::peer_key, dp::peer>(object_->peers(), cursor, LARGEST_DUMP, take);
  });
  collect_dead(); // who has died meanwhile may be there twice
  auto compare = [](const dp::dead_entry &a, const dp::dead_entry &b) {
    return std::memcmp(&a, &b, sizeof a);
  };
  std::sort(dead_.begin(), dead_.end(),
            [&](const auto &a, const auto &b) { return compare(a, b) < 0; });
  auto twice = std::unique(dead_.begin(), dead_.end(),
                           [&](const auto &a, const auto &b) { return compare(a, b) == 0; });
  dead_.erase(twice, dead_.end());
  return living;
}

// New counters begin with what there is, so that what has ended is not more than what was made.
void BpfTables::begin_counters(const Living &living) {
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (auto [reason, made] : {std::pair(dp::REASON_session_made, living.sessions),
                              std::pair(dp::REASON_binding_made, living.bindings)}) {
    const uint32_t key = reason;
    values[0] = made;
    bpf_map_update_elem(object_->counters(), &key, values.data(), BPF_ANY);
  }
}

Result<void> BpfTables::adopt() {
  uint32_t zero = 0;
  if (bpf_map_lookup_elem(object_->settings(), &zero, &settings_) != 0)
    return system_error("cannot read the settings of the tables that were found", errno);
  uint32_t slot = settings_.policy & 1U;
  if (bpf_map_lookup_elem(object_->policies(), &slot, &policy_) != 0)
    return system_error("cannot read the policy of the tables that were found", errno);
  told_ = losses();
  watch(false); // nobody who watched is left
  const Living living = find_dead();
  if (object_->counters_are_new())
    begin_counters(living);
  // By it the next policy knows which addresses leave the pool.
  if (dp::engine_set_policy(engine_, &policy_) != 0)
    return error("not enough memory for the policy");
  adopted_ = policy_.generation != 0;
  return {};
}

Result<void> BpfTables::start() {
  auto grace = Grace::make();
  if (!grace)
    return grace.failure();
  grace_ = std::move(*grace);
  remote_.context = this;
  remote_.calls = keeper_->session_calls();
  remote_.call_size = keeper_->session_call_size();
  remote_.settle = settle;
  remote_.find = find;
  remote_.hints = hints;
  remote_.forget = forget;
  engine_ = dp::engine_new_remote(&remote_);
  if (engine_ == nullptr)
    return error("not enough memory for the workers of the BPF engine");
  auto take_dead = [](void *context, void *data, size_t size) {
    if (size >= sizeof(dp::dead_entry))
      static_cast<BpfTables *>(context)->dead_.push_back(*static_cast<dp::dead_entry *>(data));
    return 0;
  };
  auto take_event = [](void *context, void *data, size_t size) {
    auto &taking = static_cast<BpfTables *>(context)->taking_;
    if (size >= sizeof(dp::event))
      taking.into->push_back(*static_cast<dp::event *>(data));
    return --taking.left == 0 ? -ECANCELED : 0; // this one is taken, the next one is not
  };
  dead_ring_ = ring_buffer__new(object_->dead(), take_dead, this, nullptr);
  event_ring_ = ring_buffer__new(object_->events(), take_event, this, nullptr);
  if (dead_ring_ == nullptr || event_ring_ == nullptr)
    return system_error("cannot read a ring buffer of the BPF programs", errno);
  return {};
}

BpfTables::~BpfTables() {
  ring_buffer__free(dead_ring_);
  ring_buffer__free(event_ring_);
  dp::engine_free(engine_);
  if (pins_)
    pins_->remove();
}

// --- the native build's way to the maps --------------------------------------------------------

int BpfTables::settle(void *context, uint32_t slot) {
  return static_cast<BpfTables *>(context)->keeper_->session(slot) ? 0 : -1;
}

int BpfTables::find(void *context, dp::remote_table table, const void *key, void *value) {
  const BpfObject &object = *static_cast<BpfTables *>(context)->object_;
  switch (table) {
  case dp::IN_BINDINGS:
    return find_in<dp::binding_entry>(object.bindings(), key, value);
  case dp::IN_PORTS:
    return find_in<dp::port_entry>(object.ports(), key, value);
  case dp::IN_SESSIONS:
    return find_in<dp::session_entry>(object.sessions(), key, value);
  case dp::IN_SUBSCRIBERS:
    return bpf_map_lookup_elem(object.subscribers(), key, value) == 0;
  case dp::IN_PEERS:
    return bpf_map_lookup_elem(object.peers(), key, value) == 0;
  }
  return false;
}

int BpfTables::hints(void *context, uint32_t index, dp::port_hints *copy) {
  return bpf_map_lookup_elem(static_cast<BpfTables *>(context)->object_->hints(), &index, copy) ==
         0;
}

void BpfTables::forget(void *context, uint32_t index) {
  auto none = std::make_unique<dp::port_hints>();
  bpf_map_update_elem(static_cast<BpfTables *>(context)->object_->hints(), &index, none.get(),
                      BPF_ANY);
}

// --- what others see ---------------------------------------------------------------------------

uint64_t BpfTables::sessions(uint64_t cursor, size_t limit, std::vector<SessionRow> &rows) const {
  return read_table<dp::session_entry>(object_->sessions(), cursor, limit,
                                       [&](const dp::session_key &key, const dp::session &value) {
                                         if (value.expires != SESSION_DEAD)
                                           rows.push_back({key, value});
                                       });
}

uint64_t BpfTables::bindings(uint64_t cursor, size_t limit, std::vector<BindingRow> &rows) const {
  return read_table<dp::binding_entry>(object_->bindings(), cursor, limit,
                                       [&](const dp::binding_key &key, const dp::binding &value) {
                                         if (!(value.sessions & BINDING_DEAD))
                                           rows.push_back({key, value});
                                       });
}

uint64_t BpfTables::ports(uint64_t cursor, size_t limit, std::vector<PortRow> &rows) const {
  return read_table<dp::port_entry>(object_->ports(), cursor, limit,
                                    [&](const dp::port_key &key, const dp::port &value) {
                                      rows.push_back({key, value});
                                    });
}

Counters BpfTables::counters() const {
  std::array<__u64, dp::REASON_COUNT> native;
  dp::engine_counters(engine_, native.data());
  Counters sums;
  std::copy(native.begin(), native.end(), sums.begin());
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (uint32_t reason = 0; reason < dp::REASON_COUNT; reason++)
    if (bpf_map_lookup_elem(object_->counters(), &reason, values.data()) == 0)
      for (uint64_t value : values)
        sums[reason] += value;
  return sums;
}

// A map does not say how full it is; what was made and what has ended does.
Usage BpfTables::usage() const {
  Counters all = counters();
  auto held = [&](dp::reason made, dp::reason ended) {
    return all[made] > all[ended] ? all[made] - all[ended] : 0;
  };
  return {.sessions = held(dp::REASON_session_made, dp::REASON_session_ended),
          .sessions_limit = options_.max_sessions,
          .bindings = held(dp::REASON_binding_made, dp::REASON_binding_ended),
          .entries_lost = entries_lost()};
}

uint64_t BpfTables::entries_lost() const {
  uint32_t zero = 0;
  dp::table_pools pools{};
  bpf_map_lookup_elem(object_->sessions().pools, &zero, &pools);
  return uint64_t{pools.bindings.lost} + pools.ports.lost + pools.sessions.lost;
}

dp::pool_use BpfTables::pool_use(const dp::pool_address &pool) const {
  dp::pool_use use{};
  auto hints = std::make_unique<dp::port_hints>();
  for (uint32_t i = 0; i < dp::PORT_PROTOCOLS; i++) {
    uint32_t index = pool.slot * uint32_t{dp::PORT_PROTOCOLS} + i;
    if (bpf_map_lookup_elem(object_->hints(), &index, hints.get()) != 0)
      continue;
    use.used[i] = hints->used;
    use.most[i] = hints->most;
  }
  return use;
}

Result<Trace> BpfTables::trace(std::span<const uint8_t> packet, uint32_t now) const {
  return dry_walk(engine_, packet, now);
}

// --- what the daemon changes -------------------------------------------------------------------

// Until every program that runs now has ended, and every worker has left: a grace period of the
// kernel's RCU (under which programs of packets run), and one of ours (under which workers run the
// keeper's).
bool BpfTables::wait_for_everybody() const {
  if (options_.testing)
    return true;
  if (!grace_->wait())
    return false;
  dp::engine_wait(engine_);
  return true;
}

void BpfTables::write_settings() {
  uint32_t zero = 0;
  bpf_map_update_elem(object_->settings(), &zero, &settings_, BPF_ANY);
}

dp::losses BpfTables::losses() const {
  uint32_t zero = 0;
  dp::losses now{};
  bpf_map_lookup_elem(object_->losses(), &zero, &now);
  return now;
}

// Whoever begins to watch hears nothing of what was before.
void BpfTables::watch(bool watched) {
  settings_.watched = watched ? 1 : 0;
  write_settings();
  std::vector<dp::event> before;
  events(SIZE_MAX, before);
}

uint64_t BpfTables::events(size_t limit, std::vector<dp::event> &events) {
  taking_ = {&events, limit};
  if (limit > 0)
    ring_buffer__consume(event_ring_);
  uint64_t lost = losses().events;
  return lost - std::exchange(told_.events, lost);
}

Result<void> BpfTables::set_policy(const dp::policy &policy) {
  uint32_t slot = settings_.policy ^ 1U;
  if (bpf_map_update_elem(object_->policies(), &slot, &policy, BPF_ANY) != 0)
    return system_error("cannot write the policy into its BPF map", errno);
  settings_.policy = slot;
  write_settings();
  if (!wait_for_everybody())
    return system_error("cannot wait for the packets under the old policy", errno);
  if (dp::engine_set_policy(engine_, &policy) != 0) // forgets what the old one's addresses had
    return error("not enough memory for a new policy");
  return {};
}

bool BpfTables::bind(const BindingEnds &ends) {
  dp::bind_call &call = keeper_->binding();
  for (int i = 0; i < 2; i++) {
    call = {};
    call.now = swept_at_;
    call.inside = ends.inside;
    call.outside = ends.outside;
    if (!keeper_->run_binding() || call.done != 0)
      return call.done != 0;
    bury_dead(); // it may be one of them that has the ends
  }
  return false;
}

void BpfTables::unbind(const BindingEnds &ends) {
  dp::bind_call &call = keeper_->binding();
  call = {};
  call.now = swept_at_;
  call.inside = ends.inside;
  call.unbind = 1;
  keeper_->run_binding();
}

// --- the sweep ---------------------------------------------------------------------------------

struct BpfTables::Sweep {
  uint32_t now;
  const Cause &cause;
  const Send &send;
  uint32_t may_probe = dp::PROBES_PER_SWEEP;
  uint64_t ended = 0;
};

// The keeper looks again at what has seemed to be over, and ends it if it is still so.
void BpfTables::expire_some(Sweep &sweep) {
  dp::expiries &all = keeper_->expiries();
  if (all.count == 0)
    return;
  all.now = sweep.now;
  all.may_probe = sweep.may_probe;
  if (keeper_->run_expiries()) {
    sweep.may_probe = all.may_probe;
    for (uint32_t i = 0; i < all.count; i++) {
      const auto &row = all.row[i];
      sweep.ended += row.result == dp::SESSION_ENDED;
      if (row.result != dp::SESSION_PROBE)
        continue;
      const dp::frame *probe = dp::engine_probe(engine_, &row.key, &row.session);
      if (sweep.send && !sweep.send({probe->data, probe->length}))
        dp::engine_count(engine_, dp::REASON_tun_own_refused);
    }
  }
  all.count = 0;
  collect_dead();
  if (dead_.size() >= DEAD_AT_ONCE)
    bury_dead();
}

void BpfTables::expire(Sweep &sweep, const std::vector<SessionRow> &rows) {
  dp::expiries &all = keeper_->expiries();
  for (const SessionRow &row : rows) {
    dp::event_why cause = sweep.cause ? sweep.cause(row.key, row.value) : dp::WHY_NONE;
    if (cause == dp::WHY_NONE && sweep.now <= row.value.expires)
      continue;
    auto &next = all.row[all.count++];
    next.key = row.key;
    next.cause = cause;
    if (all.count == dp::KEEPER_ROWS)
      expire_some(sweep);
  }
}

void BpfTables::sweep_sessions(Sweep &sweep) {
  const bool all = static_cast<bool>(sweep.cause);
  uint64_t cursor = all ? 0 : swept_to_;
  size_t seen = 0;
  std::vector<SessionRow> rows;
  keeper_->expiries().count = 0;
  do {
    rows.clear();
    const uint64_t begun = cursor;
    cursor = sessions(cursor, LARGEST_DUMP, rows);
    expire(sweep, rows);
    seen += cursor > begun ? cursor - begun : rows.size();
  } while (cursor != 0 && (all || seen < SESSIONS_PER_SWEEP));
  expire_some(sweep);
  if (!all)
    swept_to_ = cursor;
}

// In the order of engine_sweep: a SYN that is held is answered where its session ends now.
uint64_t BpfTables::sweep(uint32_t now, const Cause &cause, const Send &send) {
  Sweep sweep{.now = now, .cause = cause, .send = send};
  swept_at_ = now;
  sweep_sessions(sweep);
  dp::sweep_calls calls{};
  calls.context = &sweep;
  if (send)
    calls.send = [](void *context, const dp::frame *frame) {
      return static_cast<Sweep *>(context)->send({frame->data, frame->length}) ? 0 : -1;
    };
  dp::engine_sweep(engine_, now, &calls); // SYNs and fragments that are held
  bury_dead();
  return sweep.ended;
}

// --- the dead ----------------------------------------------------------------------------------

void BpfTables::collect_dead() {
  ring_buffer__consume(dead_ring_);
}

// What cannot be buried yet stays in dead_.
bool BpfTables::bury(bool commit) {
  dp::burials &all = keeper_->burials();
  std::vector<dp::dead_entry> left;
  for (size_t done = 0; done < dead_.size(); done += piece_of(dead_.size() - done)) {
    size_t piece = piece_of(dead_.size() - done);
    all.commit = commit;
    all.count = static_cast<uint32_t>(piece);
    for (size_t i = 0; i < piece; i++)
      all.row[i].entry = dead_[done + i];
    if (!keeper_->run_burials())
      return false;
    for (size_t i = 0; i < piece; i++)
      if (all.row[i].result == dp::BURIAL_LATER ||
          (!commit && all.row[i].result == dp::BURIAL_DONE))
        left.push_back(all.row[i].entry);
  }
  dead_ = std::move(left);
  return true;
}

void BpfTables::bury_dead() {
  collect_dead();
  const uint64_t untold = losses().dead;
  if (untold != std::exchange(told_.dead, untold))
    find_dead();
  if (dead_.empty() || !bury(false) || !wait_for_everybody())
    return;
  bury(true);
}

} // namespace viaduct::tables
