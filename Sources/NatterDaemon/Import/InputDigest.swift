internal import NatterSystem

/// A hash of an input of any length, by which it is known again.
struct InputDigest {
    private static let pieceBytes = 1 << 16

    private var digest = Digest.zero
    private var piece: [UInt8] = []

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(InputDigest.pieceBytes - piece.count)
            piece += part
            rest = rest.dropFirst(part.count)
            if piece.count == InputDigest.pieceBytes { endPiece() }
        }
    }

    /// Returns the hash of the whole input. Call once.
    mutating func finish() -> Digest {
        endPiece()
        return digest
    }

    private mutating func endPiece() {
        digest = Digest(of: digest, Digest(of: piece))
        piece.removeAll(keepingCapacity: true)
    }
}
