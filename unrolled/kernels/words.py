"""Words out of bytes: a block of UTF-8 cut into words, each looked up in a hash table, counted and numbered.

A table is a tuple of arrays, made larger by Python when a loop stops for want of room:
    slots    (2ⁿ,) where a hash leads: a word's entry + 1, 0 where free       (open addressing, linear probing)
    entries  (words + 1, 4) of each word: its hash (FNV-1a of 64 bits, Fowler, Noll and Vo), where its letters begin, its count,
             its number in what was read; a word that was pruned and comes again gets a new number
    letters  bytes
    used     (3,) entries, letters, numbers
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, pasted

GAP, WORD, LINE_END, JOINER, ALONE = 0, 1, 2, 3, 4  # what a character is: see data.corpus.kinds
SENTENCE_END, RARE = -1, -2
LONGEST = 255  # bytes of a word; longer runs are no words and are passed over
HASH, BEGIN, COUNT, NUMBER = range(4)  # of an entry

u8, u64, i64 = np.uint8, np.uint64, np.int64
BASIS, PRIME = u64(14695981039346656037), u64(1099511628211)


@pasted
def note(table, begin, end, code, more):
    """Count `more` of the word letters[begin:end] that lies just behind those in use, new or known. Returns its number."""
    slots, entries, letters, used = table
    mask = u64(slots.shape[0] - 1)
    slot = (code ^ (code >> u64(29))) & mask
    entry = i64(-1)
    while slots[slot] != 0:
        held = i64(slots[slot]) - 1
        first = entries[held, BEGIN]
        if entries[held, HASH] == i64(code) and entries[held + 1, BEGIN] - first == end - begin:
            i = i64(0)
            while i < end - begin and letters[first + i] == letters[begin + i]:
                i += 1
            if i == end - begin:
                entry = held
                break
        slot = (slot + u64(1)) & mask
    if entry < 0:
        entry = used[0]
        slots[slot] = entry + 1
        entries[entry, HASH], entries[entry, BEGIN] = i64(code), begin
        entries[entry, COUNT], entries[entry, NUMBER] = 0, used[2]
        entries[entry + 1, BEGIN] = end
        used[0], used[1], used[2] = entry + 1, end, used[2] + 1
    entries[entry, COUNT] += more
    return entries[entry, NUMBER]


@compiled
def read(block, at, kinds, table, ids, n):
    """Cut block[at:] into words and count them; ids[n:] gets their numbers, SENTENCE_END where a line ends.

    Stops when the table is full. A joiner belongs to a word if the word goes on behind it. Returns (at, n).
    """
    slots, entries, letters, used = table
    end, room = block.shape[0], min(slots.shape[0] // 2, entries.shape[0] - 1)
    while at < end and used[0] < room and used[1] + (end - at) + 4 <= letters.shape[0]:
        begin = filled = whole = used[1]  # whole: the end of the word without a joiner behind it
        code = code_of_whole = BASIS
        kind, size = GAP, 1
        while at < end:
            point, size = character(block, at)
            kind = kinds[point]
            if kind != WORD and (kind != JOINER or whole == begin or filled > whole):
                break
            for i in range(size):
                letters[filled] = block[at + i]
                code = (code ^ u64(block[at + i])) * PRIME
                filled += 1
            if kind == WORD:
                whole, code_of_whole = filled, code
            at += size
        if whole == begin and kind == ALONE:
            for i in range(size):
                letters[whole] = block[at + i]
                code_of_whole = (code_of_whole ^ u64(block[at + i])) * PRIME
                whole += 1
        if begin < whole <= begin + LONGEST:
            ids[n] = note(table, begin, whole, code_of_whole, 1)
            n += 1
        if at < end and (kind != ALONE or filled == begin):
            if kind == LINE_END:
                ids[n] = SENTENCE_END
                n += 1
            at += size
    return at, n


@pasted
def character(block, at):
    """The code point of the UTF-8 character at block[at:], and its bytes."""
    point, size = i64(block[at]), 1
    if point >= 0xF0:
        point, size = (point & 7) << 18 | tail(block, at + 1) << 12 | tail(block, at + 2) << 6 | tail(block, at + 3), 4
    elif point >= 0xE0:
        point, size = (point & 15) << 12 | tail(block, at + 1) << 6 | tail(block, at + 2), 3
    elif point >= 0xC0:
        point, size = (point & 31) << 6 | tail(block, at + 1), 2
    return point, size


@pasted
def tail(block, at):
    return i64(block[at]) & 63


@compiled
def prune(table, least):
    """Take out the words counted fewer than `least` times."""
    _, entries, letters, used = table
    kept, filled = 0, 0
    for entry in range(used[0]):
        if entries[entry, COUNT] >= least:
            first, size = entries[entry, BEGIN], entries[entry + 1, BEGIN] - entries[entry, BEGIN]
            for i in range(size):
                letters[filled + i] = letters[first + i]
            for field in range(4):
                entries[kept, field] = entries[entry, field]
            entries[kept, BEGIN] = filled
            filled += size
            kept += 1
    entries[kept, BEGIN] = filled
    used[0], used[1] = kept, filled
    seat(table)


@compiled
def seat(table):
    """Enter all words into empty slots anew."""
    slots, entries, _, used = table
    for slot in range(slots.shape[0]):
        slots[slot] = 0
    mask = u64(slots.shape[0] - 1)
    for entry in range(used[0]):
        code = u64(entries[entry, HASH])
        slot = (code ^ (code >> u64(29))) & mask
        while slots[slot] != 0:
            slot = (slot + u64(1)) & mask
        slots[slot] = entry + 1


@compiled
def merge(table, other, numbers_of):
    """Add another table's words and counts; numbers_of[its number] becomes the word's number here. There is room for all."""
    letters, used = table[2], table[3]
    _, others, others_letters, others_used = other
    for entry in range(others_used[0]):
        begin, first = used[1], others[entry, BEGIN]
        size = others[entry + 1, BEGIN] - first
        for i in range(size):
            letters[begin + i] = others_letters[first + i]
        numbers_of[others[entry, NUMBER]] = note(table, begin, begin + size, u64(others[entry, HASH]), others[entry, COUNT])


@compiled
def renumber(ids, numbers_of, keep_rare, counts, last):
    """Give ids their final numbers in place and count them; drops RARE words and repeated sentence ends. Returns how many.

    last   what stands before them
    """
    n = 0
    for i in range(ids.shape[0]):
        number = ids[i]
        final = numbers_of[number] if number >= 0 else number
        if final >= 0:
            counts[final] += 1
        elif (final == RARE and not keep_rare) or (final == SENTENCE_END and last == SENTENCE_END):
            continue
        ids[n] = final
        last = final
        n += 1
    return n
