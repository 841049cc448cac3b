internal import CSQLite
internal import NatterSystem

/// A checksum in the last bytes of each page of a database, which SQLite leaves free for such ends ("reserved bytes").
/// SQLite itself notices damage only where it makes no sense; a flipped bit in a posting list would be a wrong answer.
///
/// Takes the place of the methods that read and write the database file, for one connection. The WAL has checksums of
/// SQLite's own.
final class PageChecksums {
    /// CRC-32C of the rest of the page and of the page's number, little-endian.
    static let byteCount = 4

    private struct Methods {
        /// First, as SQLite takes a pointer to the whole for one to this.
        var own: sqlite3_io_methods
        let original: UnsafePointer<sqlite3_io_methods>
    }

    private let methods: UnsafeMutablePointer<Methods>

    /// For a connection that was just opened and did not read yet. New files get room for the checksums; in files that
    /// have none, all is damaged.
    ///
    /// - Returns: nil if SQLite does not let us.
    init?(_ connection: OpaquePointer) {
        var file: UnsafeMutablePointer<sqlite3_file>?
        var reserved = Int32(PageChecksums.byteCount)
        guard sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK, let file,
            let original = file.pointee.pMethods,
            sqlite3_file_control(connection, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved) == SQLITE_OK
        else { return nil }
        var own = original.pointee
        own.xRead = PageChecksums.read
        own.xWrite = PageChecksums.write
        methods = .allocate(capacity: 1)
        methods.initialize(to: Methods(own: own, original: original))
        file.pointee.pMethods = UnsafeRawPointer(methods).assumingMemoryBound(to: sqlite3_io_methods.self)
    }

    /// To be let go after the connection is closed.
    deinit { methods.deallocate() }

    private static func original(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafePointer<sqlite3_io_methods>? {
        UnsafeRawPointer(file?.pointee.pMethods)?.assumingMemoryBound(to: Methods.self).pointee.original
    }

    /// SQLite also reads parts of the first page, less than the least page.
    private static func isPage(_ count: Int32, at offset: Int64) -> Bool {
        count >= 512 && offset % Int64(count) == 0
    }

    private static func checksum(_ bytes: UnsafeRawBufferPointer, page: Int64) -> UInt32 {
        let crc = Checksum.crc32c(UnsafeRawBufferPointer(rebasing: bytes.dropLast(byteCount)))
        return withUnsafeBytes(of: page.littleEndian) { Checksum.crc32c($0, continuing: crc) }
    }

    /// Whether the checksum of a page, the last bytes of it, is right.
    static func isWhole(_ page: UnsafeRawBufferPointer, at offset: Int64) -> Bool {
        let stored = page.loadUnaligned(fromByteOffset: page.count - byteCount, as: UInt32.self)
        return checksum(page, page: offset / Int64(page.count)) == UInt32(littleEndian: stored)
    }

    private static let read:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_file>?, UnsafeMutableRawPointer?, Int32, Int64
        ) -> Int32 = { file, buffer, count, offset in
            guard let read = original(file)?.pointee.xRead else { return SQLITE_IOERR }
            let code = read(file, buffer, count, offset)
            guard isPage(count, at: offset) else { return code }
            // A page that is cut off was cut off by someone else: SQLite asks for none that it did not write.
            if code == SQLiteError.shortRead { return SQLITE_CORRUPT }
            guard code == SQLITE_OK else { return code }
            return isWhole(UnsafeRawBufferPointer(start: buffer, count: Int(count)), at: offset)
                ? SQLITE_OK : SQLITE_CORRUPT
        }

    private static let write:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_file>?, UnsafeRawPointer?, Int32, Int64
        ) -> Int32 = { file, buffer, count, offset in
            guard let write = original(file)?.pointee.xWrite else { return SQLITE_IOERR }
            guard isPage(count, at: offset), let buffer else { return write(file, buffer, count, offset) }
            return withUnsafeTemporaryAllocation(byteCount: Int(count), alignment: 16) { page in
                page.copyMemory(from: UnsafeRawBufferPointer(start: buffer, count: Int(count)))
                let checksum = checksum(UnsafeRawBufferPointer(page), page: offset / Int64(count))
                page.storeBytes(
                    of: checksum.littleEndian, toByteOffset: page.count - byteCount, as: UInt32.self)
                return write(file, page.baseAddress, count, offset)
            }
        }
}
