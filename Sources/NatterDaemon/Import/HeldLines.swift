internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// The lines of an import from the first one on that says `deleted`, in a file without a name.
///
/// Only a raw export has a line for each deletion, and only there the deleted message keeps its place. So whether such a line is
/// taken is known when all lines were looked at.
final class HeldLines {
    private static let pieceBytes = 1 << 18

    /// A message, by the export that it is in, because several may stand in one file, and by what its line calls itself.
    private struct Key: Hashable {
        let export: Int
        let seq: UInt64
    }

    /// Tells the exports of a file apart: in each the numbers rise.
    struct Position {
        private var export = 0
        private var last: UInt64?

        mutating func pass(_ seq: UInt64?) -> Int {
            guard let seq else { return export }
            if let last, seq <= last { export += 1 }
            last = seq
            return export
        }
    }

    private let file: UnnamedFile
    private var size: UInt64 = 0
    private var piece: [UInt8] = []
    private var position = Position()
    /// The messages that a later line deletes.
    private var deleted: Set<Key> = []

    /// - Parameter directory: of the data, because texts do not leave it.
    init(in directory: String) throws(DiskError) { file = try UnnamedFile(directory: directory) }

    func hold(_ line: [UInt8]) throws(DiskError) {
        piece += line
        piece.append(0x0A)
        if piece.count >= HeldLines.pieceBytes { try writePiece() }
        // A bad line is named when its turn comes.
        guard let parsed = try? WireJSON.decode(ImportLine.self, from: line) else { return }
        let export = position.pass(parsed.seq?.value)
        if parsed.kind == MessageKind.delete.name, let about = parsed.about?.value {
            deleted.insert(Key(export: export, seq: about))
        }
    }

    /// Whether a line deletes this message, which is in that export.
    func isDeleted(_ seq: UInt64, in export: Int) -> Bool { deleted.contains(Key(export: export, seq: seq)) }

    /// Reads all lines, after the last one was held.
    func lines(limit: Int) throws(DiskError) -> LineReader {
        try writePiece()
        var offset: UInt64 = 0
        return LineReader(limit: limit) { [file] buffer, _ in
            let bytes = try file.read(count: buffer.count, at: offset)
            buffer.copyBytes(from: bytes)
            offset += UInt64(bytes.count)
            return bytes.count
        }
    }

    private func writePiece() throws(DiskError) {
        try file.write(piece, at: size)
        size += UInt64(piece.count)
        piece.removeAll(keepingCapacity: true)
    }
}
