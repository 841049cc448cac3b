internal import CSQLite
public import NatterSystem

/// Puts a checksum into the last bytes of each page of a database, which SQLite reserves for extensions ("reserved
/// bytes"). SQLite itself notices damage only if it breaks a structure. A flipped bit in a posting list would give a
/// wrong answer.
///
/// It replaces the methods that read and write the database file of one connection. The write-ahead log has SQLite's
/// own checksums. On the way it clears the gaps of pages.
final class PageChecksums {
    static let pageBytes = 4_096
    /// The length of the checksum: CRC-32C of the rest of the page and of the page's number, little-endian.
    static let byteCount = 4

    private struct Methods {
        /// It must be first, because SQLite's pointer to this member is also used as a pointer to the whole struct.
        var own: sqlite3_io_methods
        let original: UnsafePointer<sqlite3_io_methods>
        /// What SQLite reads instead of the first page.
        let firstPage: UnsafeMutableRawBufferPointer?
    }

    private let methods: UnsafeMutablePointer<Methods>

    /// Call it for a connection that was just opened and has not read yet. New files reserve room for the checksums. A
    /// file without checksums counts as damaged.
    ///
    /// - Parameter firstPage: for SQLite to read instead of the file's own, which is damaged.
    /// - Returns: nil if SQLite refuses.
    init?(_ connection: OpaquePointer, firstPage: [UInt8]?) {
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
        let first = firstPage.map { bytes in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
            copy.copyBytes(from: bytes)
            return copy
        }
        methods.initialize(to: Methods(own: own, original: original, firstPage: first))
        file.pointee.pMethods = UnsafeRawPointer(methods).assumingMemoryBound(to: sqlite3_io_methods.self)
    }

    /// This object must outlive the open connection.
    deinit {
        methods.pointee.firstPage?.deallocate()
        methods.deallocate()
    }

    private static func methods(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafePointer<Methods>? {
        UnsafeRawPointer(file?.pointee.pMethods)?.assumingMemoryBound(to: Methods.self)
    }

    private static func original(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafePointer<sqlite3_io_methods>? {
        methods(file)?.pointee.original
    }

    /// True for a whole page. SQLite also reads parts of the first page that are smaller than any page.
    private static func isPage(_ count: Int32, at offset: Int64) -> Bool {
        count >= 512 && offset % Int64(count) == 0
    }

    private static func checksum(_ bytes: UnsafeRawBufferPointer, page: Int64) -> UInt32 {
        let crc = Checksum.crc32c(UnsafeRawBufferPointer(rebasing: bytes.dropLast(byteCount)))
        return withUnsafeBytes(of: page.littleEndian) { Checksum.crc32c($0, continuing: crc) }
    }

    /// The only bit of a page that is flipped, if its checksum tells.
    static func flippedBit(of page: [UInt8], at offset: UInt64) -> FlippedBit? {
        guard page.count == pageBytes else { return nil }
        let covered = page.count - byteCount
        let number = offset / UInt64(page.count)
        let crc = page.withUnsafeBytes { checksum($0, page: Int64(clamping: number)) }
        let own = withUnsafeBytes(of: crc.littleEndian) { Array($0) }
        if let inChecksum = FlippedBit(between: (own, page[covered...])) {
            return inChecksum.behind(offset + UInt64(covered))
        }
        let stored = page[covered...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let bit = FlippedBit(in: covered + MemoryLayout.size(ofValue: number), changing: crc ^ stored)
        // A page in the place of another has another number.
        return bit.flatMap { $0.offset < covered ? $0.behind(offset) : nil }
    }

    /// True if the checksum in the last bytes of a page is correct.
    static func isWhole(_ page: UnsafeRawBufferPointer, at offset: Int64) -> Bool {
        let stored = page.loadUnaligned(fromByteOffset: page.count - byteCount, as: UInt32.self)
        return checksum(page, page: offset / Int64(page.count)) == UInt32(littleEndian: stored)
    }

    private static let read:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_file>?, UnsafeMutableRawPointer?, Int32, Int64
        ) -> Int32 = { file, buffer, count, offset in
            guard let methods = methods(file), let read = methods.pointee.original.pointee.xRead else {
                return SQLITE_IOERR
            }
            if let first = methods.pointee.firstPage, offset >= 0, offset + Int64(count) <= first.count {
                UnsafeMutableRawBufferPointer(start: buffer, count: Int(count))
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: first[Int(offset)..<Int(offset) + Int(count)]))
                return SQLITE_OK
            }
            let code = read(file, buffer, count, offset)
            guard isPage(count, at: offset) else { return code }
            // SQLite reads only pages that it wrote, so something else truncated this page.
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
                clearGap(of: page, at: offset, in: file)
                let checksum = checksum(UnsafeRawBufferPointer(page), page: offset / Int64(count))
                page.storeBytes(
                    of: checksum.littleEndian, toByteOffset: page.count - byteCount, as: UInt32.self)
                return write(file, page.baseAddress, count, offset)
            }
        }

    /// A larger file may have pages of other kinds that begin like a b-tree page.
    private static let mostPages: Int64 = 1 << 24

    /// Overwrites the unused bytes between the cell pointers and the cells of a b-tree page with zeros.
    ///
    /// When SQLite moves a row to another page, the old bytes stay there, even with `secure_delete`, and may be of a text that
    /// is erased later. SQLite never reads them. Pages of other kinds begin with the number of a page, so in a file with
    /// fewer than 2^25 pages their first byte is 0 or 1.
    private static func clearGap(
        of page: UnsafeMutableRawBufferPointer, at offset: Int64, in file: UnsafeMutablePointer<sqlite3_file>?
    ) {
        // The first page begins with the header of the database.
        let start = offset == 0 ? 100 : 0
        let pointers: Int
        switch page[start] {
        case 2, 5: pointers = start + 12
        case 10, 13: pointers = start + 8
        default: return
        }
        func number(at place: Int) -> Int { Int(page[start + place]) << 8 | Int(page[start + place + 1]) }
        // The value 0 means 65,536.
        let gap = (from: pointers + 2 * number(at: 3), to: number(at: 5) == 0 ? 65_536 : number(at: 5))
        var size: Int64 = 0
        guard gap.from < gap.to, gap.to <= page.count - byteCount,
            original(file)?.pointee.xFileSize(file, &size) == SQLITE_OK, size / Int64(page.count) < mostPages
        else { return }
        UnsafeMutableRawBufferPointer(rebasing: page[gap.from..<gap.to]).initializeMemory(as: UInt8.self, repeating: 0)
    }
}

/// Reads the pages of a database file without SQLite, to find damaged ones.
public enum PageScan {
    /// The offsets of the pages whose checksum differs, and of an incomplete last page.
    ///
    /// A page that a commit in the write-ahead log has written anew is not read any more. A crash can tear it.
    ///
    /// - Parameters:
    ///   - file: no process may write to it meanwhile. If it is not a database, the only offset is 0.
    ///   - log: its write-ahead log; nil if there is none.
    public static func damagedPages(of file: any DiskFile, log: (any DiskFile)?) throws(DiskError) -> [UInt64] {
        let replaced = try log.map { log throws(DiskError) in try WALScan.pages(in: log) } ?? []
        let size = try file.size()
        let header = try file.read(count: 100, at: 0)
        guard header.count == 100, header.starts(with: Array("SQLite format 3\0".utf8)) else {
            return size > 0 && !replaced.contains(1) ? [0] : []
        }
        // The value 1 means 65,536.
        let stored = UInt64(header[16]) << 8 | UInt64(header[17])
        let pageSize = stored == 1 ? 65_536 : stored
        guard pageSize >= 512, pageSize & (pageSize - 1) == 0 else { return [0] }
        var damaged: [UInt64] = []
        var offset: UInt64 = 0
        while offset < size {
            let page = try file.read(count: Int(pageSize), at: offset)
            let isWhole =
                page.count == Int(pageSize)
                && page.withUnsafeBytes { PageChecksums.isWhole($0, at: Int64(clamping: offset)) }
            if !isWhole, !replaced.contains(UInt32(clamping: offset / pageSize + 1)) { damaged.append(offset) }
            offset += pageSize
        }
        return damaged
    }

    public typealias MendedBit = (path: String, bit: FlippedBit)

    /// Flips bits of a database and of its write-ahead log back, where the checksums tell which were flipped. Other damage stays.
    ///
    /// - Parameter path: nobody else may use the database.
    /// - Returns: the file of each bit, and the bit.
    public static func mendBits(of path: String, on disk: any Disk) throws(DiskError) -> [MendedBit] {
        var mended: [MendedBit] = []
        guard try disk.information(path)?.isRegular == true else { return [] }
        let logPath = path + "-wal"
        let log = try disk.information(logPath) == nil ? nil : disk.open(logPath, .readWrite)
        if let log { mended = try WALScan.mendBits(of: log).map { (logPath, $0) } }
        let file = try disk.open(path, .readWrite)
        // Before the first page is whole, the others can't be found.
        while true {
            var bits: [FlippedBit] = []
            for offset in try damagedPages(of: file, log: log) {
                let page = try file.read(count: PageChecksums.pageBytes, at: offset)
                if let bit = PageChecksums.flippedBit(of: page, at: offset) { bits.append(bit) }
            }
            if bits.isEmpty { return mended }
            try FlippedBit.flip(bits, in: file)
            mended += bits.map { (path, $0) }
        }
    }
}
