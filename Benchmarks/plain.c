/* What a plain C program does at the least: reads a capture, takes the same headers apart, and counts packets for each source
   in a table of 64-byte entries. The yardstick for `portsentry replay`. gcc -O2 -o plain plain.c; plain FILE [SLOTS_LOG2]

   Written for this comparison; the table is open addressing with linear probing, one cache line an entry. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct packet {
  uint64_t source_high, source_low, target_high, target_low;
  uint64_t time;
  uint32_t sequence, acknowledgment;
  uint16_t source_port, target_port, window, length;
  uint8_t protocol, flags, hop_limit, options;
};

struct entry {
  uint64_t high, low, first, last, ports[2];
  uint32_t packets, distinct;
  uint64_t flags;
};

static uint16_t be16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static uint32_t be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static uint64_t be64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }

static int parse(const uint8_t *p, size_t n, struct packet *out) {
  if (n < 14) return 0;
  uint16_t type = be16(p + 12);
  size_t at = 14;
  while ((type == 0x8100 || type == 0x88a8) && at + 4 <= n) {
    type = be16(p + at + 2);
    at += 4;
  }
  uint8_t protocol;
  if (type == 0x0800) {
    if (at + 20 > n) return 0;
    size_t header = (p[at] & 15) * 4;
    if (p[at] >> 4 != 4 || header < 20 || at + header > n) return 0;
    out->length = be16(p + at + 2);
    if (be16(p + at + 6) & 0x1fff) return 0;
    out->hop_limit = p[at + 8];
    protocol = p[at + 9];
    out->source_high = out->target_high = 0;
    out->source_low = 0xffff00000000u | be32(p + at + 12);
    out->target_low = 0xffff00000000u | be32(p + at + 16);
    at += header;
  } else if (type == 0x86dd) {
    if (at + 40 > n) return 0;
    out->length = be16(p + at + 4);
    protocol = p[at + 6];
    out->hop_limit = p[at + 7];
    out->source_high = be64(p + at + 8);
    out->source_low = be64(p + at + 16);
    out->target_high = be64(p + at + 24);
    out->target_low = be64(p + at + 32);
    at += 40;
    while (protocol == 0 || protocol == 43 || protocol == 60) {
      if (at + 8 > n) return 0;
      protocol = p[at];
      at += (p[at + 1] + 1) * 8;
    }
  } else {
    return 0;
  }
  out->protocol = protocol;
  if (protocol == 6) {
    if (at + 20 > n) return 0;
    out->source_port = be16(p + at);
    out->target_port = be16(p + at + 2);
    out->sequence = be32(p + at + 4);
    out->acknowledgment = be32(p + at + 8);
    out->options = (p[at + 12] >> 4) * 4 - 20;
    out->flags = p[at + 13];
    out->window = be16(p + at + 14);
  } else if (protocol == 17) {
    if (at + 8 > n) return 0;
    out->source_port = be16(p + at);
    out->target_port = be16(p + at + 2);
    out->flags = 0;
  } else {
    return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 2) return 64;
  unsigned bits = argc > 2 ? atoi(argv[2]) : 21;
  size_t mask = ((size_t)1 << bits) - 1, used = 0;
  struct entry *table = mmap(0, (mask + 1) * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(table, (mask + 1) * sizeof *table, MADV_HUGEPAGE);
  int fd = open(argv[1], O_RDONLY);
  struct stat info;
  if (fd < 0 || fstat(fd, &info)) return 66;
  const uint8_t *file = mmap(0, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  madvise((void *)file, info.st_size, MADV_SEQUENTIAL);
  size_t at = 24, packets = 0, taken = 0;
  struct packet packet;
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  while (at + 16 <= (size_t)info.st_size) {
    uint32_t captured, seconds, micro;
    memcpy(&seconds, file + at, 4);
    memcpy(&micro, file + at + 4, 4);
    memcpy(&captured, file + at + 8, 4);
    at += 16;
    if (at + captured > (size_t)info.st_size) break;
    packets++;
    if (parse(file + at, captured, &packet)) {
      packet.time = (uint64_t)seconds * 1000000000 + (uint64_t)micro * 1000;
      uint64_t hash = (packet.source_high ^ packet.source_low) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 32;
      size_t slot = hash & mask;
      while (table[slot].packets && (table[slot].low != packet.source_low || table[slot].high != packet.source_high)) slot = (slot + 1) & mask;
      struct entry *entry = &table[slot];
      if (!entry->packets) {
        entry->high = packet.source_high;
        entry->low = packet.source_low;
        entry->first = packet.time;
        used++;
      }
      entry->packets++;
      entry->last = packet.time;
      uint64_t bit = 1ull << (packet.target_port * 0x9e3779b1u >> 26);
      if (!(entry->ports[packet.protocol == 17] & bit)) {
        entry->ports[packet.protocol == 17] |= bit;
        entry->distinct++;
      }
      entry->flags |= 1ull << (packet.flags & 63);
      taken++;
    }
    at += captured;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9;
  printf("%zu packets, %zu decoded, %zu sources, %.1f ns a packet\n", packets, taken, used, seconds / packets * 1e9);
  return 0;
}
