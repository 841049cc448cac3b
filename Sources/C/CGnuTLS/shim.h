// GnuTLS 3.7 (Debian 12), which libmicrohttpd uses for TLS.
#pragma once
#include <gnutls/gnutls.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

/// Frees memory of the library. Its own `gnutls_free` is a variable, which Swift cannot call.
static inline void natter_gnutls_free(void *memory) { gnutls_free(memory); }

// A macro with a cast, which Swift cannot import.
static inline unsigned int natter_curve_bits(gnutls_ecc_curve_t curve) { return GNUTLS_CURVE_TO_BITS(curve); }
