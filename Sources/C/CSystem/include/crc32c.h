// CRC-32C (Castagnoli), the checksum of every header, block and frame that natter writes.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Continues a CRC-32C over `length` bytes at `bytes`; start with `crc` 0. Parameters as in RFC 3720, appendix B.4:
/// polynomial 0x1EDC6F41, reflected, initial value and final XOR 0xFFFFFFFF. Check value of "123456789": 0xE3069283.
uint32_t natter_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The same, always by the table. Tests compare the two.
uint32_t natter_crc32c_table(uint32_t crc, const void *bytes, size_t length);
