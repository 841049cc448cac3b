// GnuTLS 3.7 (Debian 12), the library that libmicrohttpd speaks TLS by.
#pragma once
#include <gnutls/gnutls.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

/// Frees what the library has allocated; its own `gnutls_free` is a variable.
static inline void natter_gnutls_free(void *memory) { gnutls_free(memory); }

// A macro with a cast, which Swift cannot import.
static inline unsigned int natter_curve_bits(gnutls_ecc_curve_t curve) { return GNUTLS_CURVE_TO_BITS(curve); }
