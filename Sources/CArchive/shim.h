// libarchive 3.6.2 (Debian 12): reads zip files.
#pragma once
#include <archive.h>
#include <archive_entry.h>
