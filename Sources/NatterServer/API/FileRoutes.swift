internal import NatterModel
internal import NatterProtocol
internal import NatterStore
internal import NatterSystem

/// Files of messages.
enum FileRoutes {
    /// The bytes of one piece of an answer.
    private static let pieceBytes = 256 << 10

    /// Judges the head of an upload, and takes its body.
    static func sink(
        _ head: RequestHead, _ parameters: [String], _ server: ChatServer, _ principal: Principal
    ) throws(APIError) -> any BodySink {
        try Query.check(head)
        let (conversation, id) = (Normalization.formC(parameters[0]), try Query(head).conversationID())
        guard let path = Query(head).given("name") else {
            throw APIError(.badRequest, "'name' is missing: the name of the file")
        }
        try translate(server.store.checkScope(.send(conversation: conversation, id: id), of: principal))
        let upload = try translate(
            server.store.beginUpload(
                of: path, to: conversation, id: id, length: head.contentLength.map { UInt64(clamping: $0) },
                for: principal))
        return FileReception(server, principal, upload)
    }

    static func id(_ call: Call) throws(APIError) -> FileID {
        guard let id = FileID(hex: call.parameters[0]) else { throw APIError(StoreError.noSuchFile) }
        return id
    }

    static func file(_ call: TypedCall<[UInt8]>, _ principal: Principal, _ id: FileID) throws(APIError) {
        let blob = try translate(call.store.file(id, for: principal))
        let tag = "\"\(id)\""
        var reply = Reply(
            status: 200,
            headers: [
                ("ETag", tag), ("Accept-Ranges", "bytes"), ("Content-Disposition", disposition(blob.record.name)),
                // Whatever it is, a browser that shows it runs nothing of it.
                ("Content-Security-Policy", "sandbox; default-src 'none'"),
            ])
        if call.head.hasCopy(tag) {
            reply.status = 304
            return call.respond(reply)
        }
        let size = blob.record.size
        var range = 0..<size
        switch RequestedRange(call.head, tag: tag, size: size) {
        case .whole: break
        case .part(let part):
            (range, reply.status) = (part, 206)
            reply.headers.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"))
        case .none:
            var refusal = APIError(.badRequest, "the file has \(size) bytes, and none in this range").reply
            refusal.status = 416
            refusal.headers.append(("Content-Range", "bytes */\(size)"))
            return call.respond(refusal)
        }
        reply.headers.append(("Content-Type", blob.record.type))
        reply.body = body(of: blob, range, call)
        call.respond(reply)
    }

    private static func body(of blob: Blob, _ range: Range<UInt64>, _ call: TypedCall<[UInt8]>) -> ReplyBody {
        if range.isEmpty { return .bytes([]) }
        let offset = Monitor(range.lowerBound)
        return PieceProducer(call.server.workers, call.exchange, sourceBytes: 0) {
            offset.withLock { offset in
                let count = Int(clamping: min(UInt64(pieceBytes), range.upperBound - offset))
                guard let bytes = try? blob.read(count: count, at: offset) else { return nil }
                offset += UInt64(count)
                return Piece(bytes: bytes, isLast: offset == range.upperBound)
            }
        }.body(length: Int(clamping: range.count))
    }

    /// - SeeAlso: RFC 6266, and RFC 8187 for the form of any name.
    static func disposition(_ name: String) -> String {
        var encoded = ""
        for byte in name.utf8 {
            let isPlain = byte.isASCIILetter || byte.isASCIIDigit || "!#$&+-.^_`|~".utf8.contains(byte)
            encoded += isPlain ? String(UnicodeScalar(byte)) : "%" + Hex.encode([byte]).uppercased()
        }
        // Older programs know only this form.
        let isQuotable = name.utf8.allSatisfy { (0x20...0x7E).contains($0) && !"\"\\%".utf8.contains($0) }
        return "attachment; " + (isQuotable ? "filename=\"\(name)\"; " : "") + "filename*=UTF-8''\(encoded)"
    }
}

/// The bytes that a request asks for with `Range`.
///
/// - SeeAlso: RFC 9110, section 14.
enum RequestedRange: Equatable {
    case whole
    case part(Range<UInt64>)
    /// The range has no byte of the file.
    case none

    /// Several ranges, and what is no range, ask for the whole.
    ///
    /// - Parameter tag: the strong entity tag of what is there. `If-Range` with another one asks for the whole, too.
    init(_ head: RequestHead, tag: String, size: UInt64) {
        self = .whole
        if let wanted = head.header("if-range"), !wanted.utf8.elementsEqual(tag.utf8) { return }
        guard let text = head.header("range"), text.utf8.prefix(6).elementsEqual("bytes=".utf8) else { return }
        let parts = text.utf8.dropFirst(6).split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
            .map { Substring($0) }
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.areASCIIDigits }) else { return }
        func number(_ digits: Substring) -> UInt64 { UInt64(digits) ?? .max }
        switch (parts[0].isEmpty, parts[1].isEmpty) {
        case (true, true): return
        case (true, false):
            let count = min(number(parts[1]), size)
            self = count == 0 ? .none : .part(size - count..<size)
        case (false, let isOpen):
            let first = number(parts[0])
            let last = isOpen ? .max : number(parts[1])
            guard first <= last else { return }
            self = first >= size ? .none : .part(first..<min(last, size - 1) + 1)
        }
    }
}
