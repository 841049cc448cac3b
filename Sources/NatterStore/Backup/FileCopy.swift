internal import NatterSystem

/// Copies a part of a file, with its checksum.
struct FileCopy {
    let disk: any Disk
    /// Called with the number of bytes, after each piece.
    let progress: (Int) -> Void

    private static let pieceBytes = 1 << 20
    /// What is tried by itself where a piece can't be read.
    private static let sectorBytes = 4_096

    /// Copies bytes from `start` up to `end`, or to where the source ends. What the disk can't read becomes zeros, which the
    /// checksums of the format then show: a backup of a failing disk has all that there is.
    ///
    /// - Parameter checksum: of what stands before `start`.
    /// - Returns: where it ended, and the checksum of all up to there.
    func append(
        _ source: String, from start: UInt64, to end: UInt64, onto target: any DiskFile, checksum: UInt32 = 0
    ) throws(DiskError) -> (size: UInt64, checksum: UInt32) {
        let file = try disk.open(source, .read)
        let end = min(end, try file.size())
        var (offset, crc) = (start, checksum)
        while offset < end {
            let piece = try FileCopy.read(
                file, count: Int(clamping: min(end - offset, UInt64(Self.pieceBytes))), at: offset)
            if piece.isEmpty { break }
            try target.write(piece, at: offset)
            crc = piece.withUnsafeBytes { Checksum.crc32c($0, continuing: crc) }
            offset += UInt64(piece.count)
            progress(piece.count)
        }
        return (offset, crc)
    }

    /// The checksum of a file's first bytes; nil if it has fewer.
    func checksum(_ path: String, size: UInt64) throws(DiskError) -> UInt32? {
        let file = try disk.open(path, .read)
        guard try file.size() >= size else { return nil }
        var (offset, crc): (UInt64, UInt32) = (0, 0)
        while offset < size {
            let piece = try file.read(count: Int(clamping: min(size - offset, UInt64(Self.pieceBytes))), at: offset)
            if piece.isEmpty { return nil }
            crc = piece.withUnsafeBytes { Checksum.crc32c($0, continuing: crc) }
            offset += UInt64(piece.count)
        }
        return crc
    }

    /// Reads what can be read, with zeros for what can't.
    static func read(_ file: any DiskFile, count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        do throws(DiskError) { return try file.read(count: count, at: offset) } catch {
            guard error.isUnreadable else { throw error }
        }
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = min(count - bytes.count, sectorBytes)
            do throws(DiskError) {
                let read = try file.read(count: part, at: offset + UInt64(bytes.count))
                if read.isEmpty { break }
                bytes += read
            } catch {
                guard error.isUnreadable else { throw error }
                bytes += [UInt8](repeating: 0, count: part)
            }
        }
        return bytes
    }
}
