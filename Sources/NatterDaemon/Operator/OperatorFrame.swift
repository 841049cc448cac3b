internal import NatterCommandLine
public import NatterModel
public import NatterProtocol

/// A frame on `DIR/natterd.sock`, in either direction: a kind (1 byte), a length (4 bytes, little-endian), and a body
/// of that length, at most 1 MiB. Bodies other than data are JSON objects.
///
/// The server sends a greeting. The command then requests one operation and sends the operation's data, followed by
/// `endOfData`. If the connection ends without `endOfData`, the command was killed, and none of its data counts. The
/// server answers with replies and data, and at the end with one exit frame.
enum OperatorFrame {
    enum Kind: UInt8 {
        case greeting = 0x47
        case request = 0x51
        case data = 0x44
        case endOfData = 0x45
        case reply = 0x52
        case exit = 0x58
    }

    /// The version of the protocol. It rises with each change that an older program would misread.
    static let version = 2
    static let headerBytes = 5
    static let bodyLimit = 1 << 20
    /// The amount of data in one frame.
    static let chunkBytes = 256 << 10

    struct Greeting: Codable {
        var version: Int
        /// The URI of the shared store that is served, empty for files. A server of an earlier version does not say.
        var store: String?
    }

    struct Exit: Codable {
        var status: Int32
        /// Set if the operation failed. `code` is one word, `message` one line.
        var code: String?
        var message: PhraseParts?

        init(status: Int32, code: String? = nil, message: Phrase? = nil) {
            (self.status, self.code, self.message) = (status, code, message.map { PhraseParts($0) })
        }
    }
}

/// Why the exchange over the socket was interrupted.
enum OperatorStreamError: FailureConvertible {
    /// The other side closed the connection.
    case ended
    /// The other side sent a frame that this version does not know.
    case malformed(String)

    var failure: CommandFailure {
        switch self {
        // Only operations that read data wait for the other side, and they keep nothing of a part.
        case .ended:
            CommandFailure(
                .unavailable, code: "stopping",
                "the server is stopping and dropped what was being imported; repeat the command")
        case .malformed: OperatorClient.otherVersion
        }
    }
}

/// Between this program and itself, JSON of another shape is of another version.
extension WireJSON.Failure: FailureConvertible {
    public var failure: CommandFailure { OperatorClient.otherVersion }
}

/// Frames over one connection. One thread may read while another one writes.
final class FrameStream {
    let stream: LocalStream
    private var header = [UInt8](repeating: 0, count: OperatorFrame.headerBytes)

    init(_ stream: LocalStream) { self.stream = stream }

    /// Reads the next frame.
    ///
    /// - Throws: `OperatorStreamError.ended`, also in the middle of a frame.
    func next() throws -> (kind: OperatorFrame.Kind, body: [UInt8]) {
        try fill(&header)
        guard let kind = OperatorFrame.Kind(rawValue: header[0]) else {
            throw OperatorStreamError.malformed("a frame of unknown kind \(header[0])")
        }
        let length = header[1...].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= OperatorFrame.bodyLimit else {
            throw OperatorStreamError.malformed("a frame of \(length) bytes")
        }
        var body = [UInt8](repeating: 0, count: length)
        try fill(&body)
        return (kind, body)
    }

    private func fill(_ bytes: inout [UInt8]) throws {
        try bytes.withUnsafeMutableBytes { buffer in
            var done = 0
            while done < buffer.count {
                let count = try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
                if count == 0 { throw OperatorStreamError.ended }
                done += count
            }
        }
    }

    func write(_ kind: OperatorFrame.Kind, _ body: some Collection<UInt8>) throws {
        var frame = [kind.rawValue]
        frame.reserveCapacity(OperatorFrame.headerBytes + body.count)
        for shift in stride(from: 0, to: 32, by: 8) { frame.append(UInt8(truncatingIfNeeded: body.count >> shift)) }
        frame += body
        try frame.withUnsafeBytes { try stream.write($0) }
    }

    /// - Throws: 64 for an object that is longer than a frame. The other side would take it for nonsense and hang up.
    func write(_ kind: OperatorFrame.Kind, json value: some Encodable) throws {
        let body = WireJSON.encode(value)
        guard body.count <= OperatorFrame.bodyLimit else {
            throw CommandFailure(
                .usage, code: "usage",
                "this is too long for one command: \(body.count) bytes of at most \(OperatorFrame.bodyLimit); do it in parts"
            )
        }
        try write(kind, body)
    }
}
