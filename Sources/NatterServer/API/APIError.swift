internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Why a request was refused, in the words of the interface.
struct APIError: Error {
    let code: ErrorCode
    let message: Phrase
    /// Seconds to wait, where waiting helps.
    var retryAfter: Int?
    var allow: String?
    /// The range that can't be read, where the code is `damaged`.
    var range: ClosedRange<UInt64>?
    /// What the operator's log says of it, and nobody else gets to see: files, and what the system said.
    var detail: String?

    init(_ code: ErrorCode, _ message: Phrase, retryAfter: Int? = nil, allow: String? = nil) {
        (self.code, self.message, self.retryAfter, self.allow) = (code, message, retryAfter, allow)
    }

    init(_ error: StoreError) {
        let code: ErrorCode =
            switch error {
            case .busy: .busy
            case .outcomeUnknown: .outcomeUnknown
            case .diskFull: .diskFull
            case .unauthorized: .unauthorized
            case .noSuchUser, .notInGroup: .noSuchUser
            case .noSuchConversation: .noSuchConversation
            case .notAMember: .notAMember
            case .forbidden: .forbidden
            case .badInvite: .registrationClosed
            case .blocked: .blocked
            case .lastAdmin: .lastAdmin
            case .nameTaken: .nameTaken
            case .badName: .badName
            case .badText: .badText
            case .idReused: .idReused
            case .notTried: .notTried
            case .badQuery: .badRequest
            case .badCursor: .badCursor
            case .cursorExpired: .cursorExpired
            case .damaged: .damaged
            case .failed: .internalError
            }
        switch error {
        case .failed: self.init(code, "the server failed to answer; its log says why")
        case .damaged(let from, let to, _):
            self.init(code, "messages \(from) to \(to) are damaged on the server; its log says where")
            if from <= to { range = from.rawValue...to.rawValue }
        default: self.init(code, error.phrase)
        }
        if code == .damaged || code == .internalError { detail = error.description }
        if code == .busy { retryAfter = 1 }
    }

    var body: ErrorBody { ErrorBody(code, message, from: range?.lowerBound, to: range?.upperBound) }

    func reply(note: String? = nil) -> Reply {
        let notes = [note, detail].compactMap { $0 }
        var reply = Reply.json(
            body, status: code.status, note: notes.isEmpty ? nil : notes.joined(separator: ": "))
        if let retryAfter { reply.headers.append(("Retry-After", String(retryAfter))) }
        if let allow { reply.headers.append(("Allow", allow)) }
        if code == .unauthorized || code == .badCredentials {
            reply.headers.append(("WWW-Authenticate", "Bearer realm=\"natter\""))
        }
        return reply
    }
}

extension Reply {
    static func json(_ value: some Encodable, status: Int = 200, note: String? = nil) -> Reply {
        json(WireJSON.encode(value), status, note)
    }

    static func json(_ value: some JSONWritable, status: Int = 200, note: String? = nil) -> Reply {
        json(WireJSON.encode(value), status, note)
    }

    private static func json(_ bytes: [UInt8], _ status: Int, _ note: String?) -> Reply {
        Reply(status: status, headers: [("Content-Type", MediaType.json)], body: .bytes(bytes), note: note)
    }
}
