// The gettext of glibc itself: nothing is linked. LGPL 2.1.
#pragma once
#include <libintl.h>
