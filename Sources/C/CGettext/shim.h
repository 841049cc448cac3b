// glibc's own gettext, LGPL 2.1. Nothing more is linked.
#pragma once
#include <libintl.h>
