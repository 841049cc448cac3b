internal import CArchive
internal import Glibc
internal import NatterLanguage

/// The members of a zip file, one after another.
///
/// libarchive converts their names to the character set of the locale. So calls here run in a locale of UTF-8, whatever
/// the user's is.
final class Archive {
    private let file: ForeignFile
    private let handle: OpaquePointer
    private let locale: locale_t?

    /// - Throws: `ForeignError`.
    init(_ file: ForeignFile) throws {
        self.file = file
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nil)
        guard let handle = archive_read_new() else {
            throw ForeignError.unreadable(file: file.path, reason: "out of memory")
        }
        self.handle = handle
        try inLocale {
            lseek(file.descriptor, 0, SEEK_SET)
            archive_read_support_format_zip(handle)
            guard archive_read_open_fd(handle, file.descriptor, 64 << 10) == ARCHIVE_OK else { throw failure() }
        }
    }

    deinit {
        archive_read_free(handle)
        if let locale { freelocale(locale) }
    }

    /// The path of the next member that is a file; nil at the end.
    func next() throws -> String? {
        try inLocale {
            // 0o100_000 is the type of a file (AE_IFREG, a macro that Swift cannot import).
            while true {
                var entry: OpaquePointer?
                switch archive_read_next_header(handle, &entry) {
                case ARCHIVE_EOF: return nil
                case ARCHIVE_OK, ARCHIVE_WARN: break
                default: throw failure()
                }
                guard let entry else { throw failure() }
                guard archive_entry_filetype(entry) == 0o100_000 else { continue }
                if archive_entry_is_data_encrypted(entry) == 1 { throw file.malformed("it is encrypted") }
                guard let name = archive_entry_pathname_utf8(entry) ?? archive_entry_pathname(entry) else { continue }
                return String(cString: name)
            }
        }
    }

    /// The content of the member that `next` returned last.
    func bytes() -> ByteStream {
        ByteStream { [self] buffer in
            try inLocale {
                while true {
                    let count = archive_read_data(handle, buffer.baseAddress, buffer.count)
                    if count >= 0 { return count }
                    if count != Int(ARCHIVE_RETRY) { throw failure() }
                }
            }
        }
    }

    private func inLocale<Result>(_ body: () throws -> Result) rethrows -> Result {
        guard let locale else { return try body() }
        let former = uselocale(locale)
        defer { uselocale(former) }
        return try body()
    }

    private func failure() -> ForeignError {
        let reason = archive_error_string(handle).map { String(cString: $0) } ?? "it is not a zip file"
        return file.malformed(Phrase(key: reason.trimmed))
    }
}

extension ForeignFile {
    /// The library that reads archives, with its version, for `--version`.
    public static var library: String { String(cString: archive_version_string()) }
}
