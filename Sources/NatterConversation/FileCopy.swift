public import NatterSystem

/// Copies a part of a file and computes its checksum.
public struct FileCopy {
    let disk: any Disk
    /// Called after each piece with its number of bytes. An error of it ends the copying.
    let progress: (Int) throws -> Void

    private static let pieceBytes = 1 << 20
    /// The unit of a retry after a larger piece could not be read.
    private static let sectorBytes = 4_096

    public init(disk: any Disk, progress: @escaping (Int) throws -> Void = { _ in }) {
        (self.disk, self.progress) = (disk, progress)
    }

    /// Copies bytes from `start` up to `end` or to the end of the source. Sectors that the disk can't read become
    /// zeros. So a backup of a failing disk has everything else, and the checksums of the format show the loss.
    ///
    /// - Parameter checksum: the checksum of the bytes before `start`.
    /// - Returns: where the copy ended, and the checksum of all bytes up to there.
    public func append(
        _ source: String, from start: UInt64, to end: UInt64, onto target: any DiskFile, checksum: UInt32 = 0
    ) throws -> (size: UInt64, checksum: UInt32) {
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
            try progress(piece.count)
        }
        return (offset, crc)
    }

    /// The checksum of a file's first bytes; nil if it has fewer.
    public func checksum(_ path: String, size: UInt64) throws(DiskError) -> UInt32? {
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

    /// Reads all readable sectors and returns zeros for the others.
    public static func read(_ file: any DiskFile, count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
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
