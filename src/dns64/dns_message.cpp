// SPDX-License-Identifier: MIT
#include "dns64/dns_message.h"

#include <algorithm>
#include <string>

namespace viaduct::dns64 {

namespace {

constexpr size_t HEADER = 12;
constexpr uint16_t TYPE_AAAA = 28; // RFC 3596 2.1
constexpr uint16_t CLASS_IN = 1;
constexpr uint16_t FLAG_RESPONSE = 0x8000;
constexpr uint16_t FLAG_TRUNCATED = 0x0200;
constexpr uint16_t FLAG_RECURSION_DESIRED = 0x0100;
constexpr uint16_t MASK_RCODE = 0x000f;
constexpr uint16_t MASK_OPCODE = 0x7800;
constexpr uint8_t POINTER = 0xc0; // RFC 1035 4.1.4
constexpr size_t MAX_NAME = 255;
constexpr unsigned MAX_POINTERS = 32;

// Where we are in the message. Every read says whether the bytes were there.
struct Cursor {
  std::span<const uint8_t> message;
  size_t at = 0;

  bool u8(uint8_t &value) {
    if (at >= message.size())
      return false;
    value = message[at++];
    return true;
  }
  bool u16(uint16_t &value) {
    if (message.size() - at < 2)
      return false;
    value = static_cast<uint16_t>(message[at] << 8 | message[at + 1]);
    at += 2;
    return true;
  }
  bool skip(size_t count) {
    if (message.size() - at < count)
      return false;
    at += count;
    return true;
  }
};

char lower(uint8_t byte) {
  return static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

bool append_label(Cursor &cursor, uint8_t length, std::string &name) {
  if (cursor.message.size() - cursor.at < length || name.size() + length + 1 > MAX_NAME)
    return false;
  if (!name.empty())
    name += '.';
  for (unsigned i = 0; i < length; i++)
    name += lower(cursor.message[cursor.at + i]);
  cursor.at += length;
  return true;
}

// Leaves the cursor behind the name as it stands here, and its lower-case text in `name`.
bool read_name(Cursor &cursor, std::string &name) {
  Cursor reader = cursor;
  bool jumped = false;
  unsigned pointers = 0;
  name.clear();
  for (;;) {
    size_t start = reader.at;
    uint8_t length = 0;
    if (!reader.u8(length))
      return false;
    if ((length & POINTER) == POINTER) {
      uint8_t rest = 0;
      if (!reader.u8(rest) || ++pointers > MAX_POINTERS)
        return false;
      if (!jumped)
        cursor.at = reader.at;
      jumped = true;
      size_t target = static_cast<size_t>(length & ~POINTER) << 8 | rest;
      if (target >= start) // only backwards: a loop is impossible
        return false;
      reader.at = target;
    } else if (length == 0) {
      if (!jumped)
        cursor.at = reader.at;
      return true;
    } else if ((length & POINTER) != 0 || !append_label(reader, length, name)) {
      return false; // label types 0x40 and 0x80 were never given a meaning
    }
  }
}

struct Header {
  uint16_t id = 0, flags = 0, questions = 0, answers = 0;
};

bool read_header(Cursor &cursor, Header &header) {
  return cursor.u16(header.id) && cursor.u16(header.flags) && cursor.u16(header.questions) &&
         cursor.u16(header.answers) && cursor.skip(4); // authority and additional: not looked at
}

Result<void> check_question(Cursor &cursor, std::string_view name) {
  std::string asked;
  uint16_t type = 0, klass = 0;
  if (!read_name(cursor, asked) || !cursor.u16(type) || !cursor.u16(klass))
    return error("the answer ends within its question, or the name in it is malformed");
  if (asked != name || type != TYPE_AAAA || klass != CLASS_IN)
    return error("the answer is to another question");
  return {};
}

// One record of the answer section; an address is kept if it is for `name`.
Result<void> read_record(Cursor &cursor, std::string_view name, Answer &answer) {
  std::string owner;
  uint16_t type = 0, klass = 0, length = 0;
  if (!read_name(cursor, owner))
    return error("a record of the answer has a malformed name");
  if (!cursor.u16(type) || !cursor.u16(klass) || !cursor.skip(4) || !cursor.u16(length))
    return error("the answer ends within a record");
  auto data = cursor.message.subspan(cursor.at);
  if (!cursor.skip(length))
    return error("a record of the answer says it is longer than the message");
  if (type != TYPE_AAAA || klass != CLASS_IN)
    return {};
  if (length != 16)
    return error("an AAAA record of the answer has {} bytes of data instead of 16", length);
  if (owner == name)
    answer.addresses.push_back(Ipv6::from_bytes(data.first<16>()));
  return {};
}

void put16(std::vector<uint8_t> &message, uint16_t value) {
  message.push_back(static_cast<uint8_t>(value >> 8));
  message.push_back(static_cast<uint8_t>(value & 0xff));
}

} // namespace

std::vector<uint8_t> aaaa_query(uint16_t id, std::string_view name) {
  std::vector<uint8_t> message;
  put16(message, id);
  put16(message, FLAG_RECURSION_DESIRED);
  put16(message, 1); // one question, nothing else
  for (int i = 0; i < 3; i++)
    put16(message, 0);
  while (!name.empty()) {
    auto label = name.substr(0, name.find('.'));
    message.push_back(static_cast<uint8_t>(label.size()));
    message.insert(message.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  message.push_back(0);
  put16(message, TYPE_AAAA);
  put16(message, CLASS_IN);
  return message;
}

bool has_id(std::span<const uint8_t> message, uint16_t id) {
  uint16_t found = 0;
  return Cursor{message}.u16(found) && found == id;
}

Result<Answer> parse_answer(std::span<const uint8_t> message, uint16_t id, std::string_view name) {
  if (message.size() > MAX_DNS_MESSAGE)
    return error("the answer is longer than {} bytes", MAX_DNS_MESSAGE);
  Cursor cursor{message};
  Header header;
  if (!read_header(cursor, header))
    return error("the answer is shorter than its {}-byte header", HEADER);
  if (header.id != id)
    return error("the answer has another id than the question");
  if ((header.flags & FLAG_RESPONSE) == 0 || (header.flags & MASK_OPCODE) != 0)
    return error("what came back is not an answer to a query");
  Answer answer;
  answer.rcode = header.flags & MASK_RCODE;
  answer.truncated = (header.flags & FLAG_TRUNCATED) != 0;
  // A refusal may be a header alone.
  if (answer.rcode != RCODE_NO_ERROR && header.questions == 0 && header.answers == 0)
    return answer;
  if (header.questions != 1)
    return error("the answer repeats {} questions instead of one", header.questions);
  if (auto asked = check_question(cursor, name); !asked)
    return asked.failure();
  if (header.answers > MAX_DNS_RECORDS)
    return error("the answer has more than {} records", MAX_DNS_RECORDS);
  for (unsigned i = 0; i < header.answers; i++)
    if (auto read = read_record(cursor, name, answer); !read)
      return read.failure();
  return answer;
}

} // namespace viaduct::dns64
