/// The words of the interface for what went wrong, each with its HTTP status.
public enum ErrorCode: String, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case badJSON = "bad_json"
    case badCursor = "bad_cursor"
    case unauthorized
    case badCredentials = "bad_credentials"
    case forbidden
    case notAMember = "not_a_member"
    case blocked
    case registrationClosed = "registration_closed"
    case notFound = "not_found"
    case noSuchUser = "no_such_user"
    case noSuchConversation = "no_such_conversation"
    case noSuchMessage = "no_such_message"
    case methodNotAllowed = "method_not_allowed"
    case nameTaken = "name_taken"
    case idReused = "id_reused"
    case lastAdmin = "last_admin"
    case notTried = "not_tried"
    case cursorExpired = "cursor_expired"
    case tooLarge = "too_large"
    case unsupportedMediaType = "unsupported_media_type"
    case badName = "bad_name"
    case badText = "bad_text"
    case badID = "bad_id"
    case weakPassword = "weak_password"
    case slowDown = "slow_down"
    case busy
    case outcomeUnknown = "outcome_unknown"
    case diskFull = "disk_full"
    case damaged
    case internalError = "internal_error"

    public var status: Int {
        switch self {
        case .badRequest, .badJSON, .badCursor: 400
        case .unauthorized, .badCredentials: 401
        case .forbidden, .notAMember, .blocked, .registrationClosed: 403
        case .notFound, .noSuchUser, .noSuchConversation, .noSuchMessage: 404
        case .methodNotAllowed: 405
        case .nameTaken, .idReused, .lastAdmin, .notTried: 409
        case .cursorExpired: 410
        case .tooLarge: 413
        case .unsupportedMediaType: 415
        case .badName, .badText, .badID, .weakPassword: 422
        case .slowDown: 429
        case .damaged, .internalError: 500
        case .busy, .outcomeUnknown: 503
        case .diskFull: 507
        }
    }
}

/// `{"error":{"code","message"}}`, in answers and, with `line`, in the place of a refused line's message.
public struct ErrorBody: Codable, Sendable, Equatable {
    public struct Detail: Codable, Sendable, Equatable {
        public var code: String
        public var message: String
        /// The range that can't be read, where the code is `damaged`.
        public var from: UInt64?
        public var to: UInt64?
    }

    public var error: Detail
    /// The number of the line in a streamed request, counted from 1.
    public var line: Int?

    public init(_ code: ErrorCode, _ message: String, line: Int? = nil, from: UInt64? = nil, to: UInt64? = nil) {
        error = Detail(code: code.rawValue, message: message, from: from, to: to)
        self.line = line
    }
}
