public import NatterModel

/// The error codes of the API, each with its HTTP status.
public enum ErrorCode: String, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case badJSON = "bad_json"
    case badCursor = "bad_cursor"
    case unauthorized
    case tokenExpired = "token_expired"
    case badCredentials = "bad_credentials"
    case forbidden
    case notAMember = "not_a_member"
    case blocked
    case registrationClosed = "registration_closed"
    case quota
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
    /// A file whose message was deleted or erased.
    case gone
    case tooLarge = "too_large"
    case unsupportedMediaType = "unsupported_media_type"
    case badAbout = "bad_about"
    /// The `Host` of the request is a name that is none of the server's.
    case misdirected
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
    /// What this server can't do, as it is set up.
    case notSupported = "not_supported"

    public var status: Int {
        switch self {
        case .badRequest, .badJSON, .badCursor: 400
        case .unauthorized, .tokenExpired, .badCredentials: 401
        case .forbidden, .notAMember, .blocked, .registrationClosed, .quota: 403
        case .notFound, .noSuchUser, .noSuchConversation, .noSuchMessage: 404
        case .methodNotAllowed: 405
        case .nameTaken, .idReused, .lastAdmin, .notTried: 409
        case .cursorExpired, .gone: 410
        case .tooLarge: 413
        case .unsupportedMediaType: 415
        case .misdirected: 421
        case .badAbout, .badName, .badText, .badID, .weakPassword: 422
        case .slowDown: 429
        case .damaged, .internalError: 500
        case .notSupported: 501
        case .busy, .outcomeUnknown: 503
        case .diskFull: 507
        }
    }
}

extension ExitCode {
    /// The exit code of a command whose request was refused with this status.
    public init(status: Int) {
        self =
            switch status {
            case 400, 409, 410, 413, 422: .invalidData
            case 401, 403: .refused
            case 404: .notFound
            case 429, 503, 507: .temporary
            case 500...: .inputOutput
            default: .badProtocol
            }
    }
}

/// `{"error":{"code","message","phrase"}}`: the answer to a refused request. With `line`, it is the answer to a refused
/// line of a request.
public struct ErrorBody: Codable, Sendable, Equatable {
    public struct Detail: Codable, Sendable, Equatable {
        public var code: String
        /// The message in English.
        public var message: String
        /// The message in parts, so that a client can translate it. Older servers omit it.
        public var phrase: PhraseParts?
        /// The range of messages that can't be read, if the code is `damaged`.
        public var from: UInt64?
        public var to: UInt64?
        /// The first message that is kept, if a cursor is below it.
        public var first: UInt64?
        /// The limit that a file is beyond, what is used of it, and the server's setting.
        public var limit: UInt64?
        public var used: UInt64?
        public var setting: String?

        fileprivate init(_ code: ErrorCode, _ phrase: Phrase, from: UInt64?, to: UInt64?, first: UInt64?) {
            (self.code, self.message, self.phrase) = (code.rawValue, phrase.english, PhraseParts(phrase))
            (self.from, self.to, self.first) = (from, to, first)
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            code = try container.decode(String.self, forKey: .code).asWord
            message = try container.decode(String.self, forKey: .message)
            // The message has the same content, so do not refuse the body if this version can't decode the parts.
            phrase = try? container.decodeIfPresent(PhraseParts.self, forKey: .phrase)
            from = try container.decodeIfPresent(UInt64.self, forKey: .from)
            to = try container.decodeIfPresent(UInt64.self, forKey: .to)
            first = try container.decodeIfPresent(UInt64.self, forKey: .first)
            limit = try container.decodeIfPresent(UInt64.self, forKey: .limit)
            used = try container.decodeIfPresent(UInt64.self, forKey: .used)
            setting = try container.decodeIfPresent(String.self, forKey: .setting)
        }
    }

    public var error: Detail
    /// The number of the line in a streamed request, counted from 1.
    public var line: Int?

    public init(
        _ code: ErrorCode, _ message: Phrase, from: UInt64? = nil, to: UInt64? = nil, first: UInt64? = nil
    ) {
        error = Detail(code, message, from: from, to: to, first: first)
    }
}
