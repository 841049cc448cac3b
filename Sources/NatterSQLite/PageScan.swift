public import NatterSystem

/// Looks through the pages of a database file without SQLite, for where exactly it is damaged.
public enum PageScan {
    /// The offsets of the pages whose checksum differs, and the end of the file where it ends inside a page.
    ///
    /// - Parameter file: not written to meanwhile.
    /// - Throws: an error of the disk; a file that is no database has no pages.
    public static func damagedPages(of file: any DiskFile) throws(DiskError) -> [UInt64] {
        let size = try file.size()
        let header = try file.read(count: 100, at: 0)
        guard header.count == 100, header.starts(with: Array("SQLite format 3\0".utf8)) else {
            return size > 0 ? [0] : []
        }
        // 1 stands for 65,536.
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
            if !isWhole { damaged.append(offset) }
            offset += pageSize
        }
        return damaged
    }
}
