internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Why a request was refused, with the code of the public interface.
struct APIError: Error {
    let code: ErrorCode
    let message: Phrase
    /// Seconds to wait before a retry, if a retry can help.
    var retryAfter: Int?
    var allow: String?
    /// The messages that can't be read, if the code is `damaged`.
    var range: ClosedRange<UInt64>?
    /// The first message that is kept, if the cursor is below it.
    var first: UInt64?
    /// The limit that a file is beyond.
    var fileLimit: FileLimit?
    /// For the service log only: names of files, and errors of the system.
    var detail: String?

    init(_ code: ErrorCode, _ message: Phrase, retryAfter: Int? = nil, allow: String? = nil) {
        (self.code, self.message, self.retryAfter, self.allow) = (code, message, retryAfter, allow)
    }

    static let tooManyOwn = APIError(
        .slowDown, "too many requests of yours are waiting; try again in a moment", retryAfter: 1)

    init(_ error: StoreError) {
        let code: ErrorCode =
            switch error {
            case .directoryMoved: .busy
            case .outcomeUnknown: .outcomeUnknown
            default: ErrorCode(rawValue: error.failure.code) ?? .internalError
            }
        switch error {
        case .failed, .damagedDatabase: self.init(code, "the server failed to answer; its log says why")
        case .damaged(let from, let to, _):
            self.init(code, "messages \(from) to \(to) are damaged on the server; its log says where")
            if from <= to { range = from.rawValue...to.rawValue }
        default: self.init(code, error.phrase)
        }
        if code == .damaged || code == .internalError { detail = error.description }
        if code == .busy { retryAfter = 1 }
        if case .slowDown(_, let seconds) = error { retryAfter = seconds }
        if case .notKept(let first) = error { self.first = first.rawValue }
        if case .fileLimit(let limit) = error { fileLimit = limit }
    }

    init(_ failure: WireJSON.Failure) {
        switch failure {
        case .malformed: self.init(.badJSON, "the body is not JSON in UTF-8")
        case .field(""): self.init(.badRequest, "the body must be a JSON object with fields of the right types")
        case .field(let name): self.init(.badRequest, "'\(name)' is missing or of the wrong type")
        }
    }

    var body: ErrorBody {
        var body = ErrorBody(code, message, from: range?.lowerBound, to: range?.upperBound, first: first)
        (body.error.limit, body.error.used) = (fileLimit?.limit, fileLimit?.used)
        body.error.setting = fileLimit?.setting
        return body
    }

    var reply: Reply {
        var reply = Reply.json(body, status: code.status)
        reply.note = detail
        if let retryAfter { reply.headers.append(("Retry-After", String(retryAfter))) }
        if let allow { reply.headers.append(("Allow", allow)) }
        if code.status == 401 {
            reply.headers.append(("WWW-Authenticate", "Bearer realm=\"natter\""))
        }
        return reply
    }
}

/// Calls the store and translates its error to an error of the API.
func translate<Value>(_ call: @autoclosure () throws(StoreError) -> Value) throws(APIError) -> Value {
    do throws(StoreError) { return try call() } catch { throw APIError(error) }
}
