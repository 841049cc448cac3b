internal import NatterArchive
internal import NatterLanguage
internal import NatterLog
internal import NatterSQLite
internal import NatterSystem

/// Flips single flipped bits of a data directory back, so that nothing is lost with them. The checksums tell which these are. Other
/// damage is left to the rest of a repair.
enum BitRepair {
    static func database(of root: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws {
        for (path, bit) in try PageScan.mendBits(of: Store.databasePath(root), on: disk) { report(phrase(bit, path)) }
    }

    /// Mends the write-ahead log alone.
    static func commits(of root: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws(DiskError) {
        let path = Store.databasePath(root) + "-wal"
        for bit in try WALScan.mendBits(of: disk.open(path, .readWrite)) { report(phrase(bit, path)) }
    }

    static func logs(of root: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws {
        for path in try StoreCheck.logFiles(root, disk).sorted() where try disk.information(path)?.isRegular == true {
            // The header tells which dictionary the blocks need, so it comes first.
            while case let bits = try bits(of: path, disk), !bits.isEmpty {
                try FlippedBit.flip(bits, in: disk.open(path, .readWrite))
                for bit in bits { report(phrase(bit, path)) }
            }
        }
    }

    static func erasures(of root: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws {
        let path = root + "/" + RememberedErasures.name
        for bit in try RememberedErasures(root, disk).mendBits() { report(phrase(bit, path)) }
    }

    private static func bits(of path: String, _ disk: any Disk) throws -> [FlippedBit] {
        try LogSurvey.contents(of: path, disk).contents.flippedBits(path: path)
    }

    private static func phrase(_ bit: FlippedBit, _ path: String) -> Phrase {
        "flipped a bit in byte \(bit.offset) of '\(path)' back; the checksum is right again"
    }
}
