// libsodium 1.0.18 (Debian 12).
#pragma once
#include <sodium.h>
