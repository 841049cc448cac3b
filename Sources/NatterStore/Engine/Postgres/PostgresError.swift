public import NatterModel

/// A failed call to PostgreSQL.
public struct PostgresError: FailureConvertible, Equatable {
    /// The SQLSTATE; empty if the connection was refused or lost.
    public let state: String
    public let message: String

    public init(state: String = "", message: String) { (self.state, self.message) = (state, message) }

    /// Whether the server can't be reached or is about to end. A statement that was sent may still come into effect.
    public var isLost: Bool {
        // 57P01 to 57P05: the server stops, has crashed, starts, or has ended this connection. 25P03: it was idle too long.
        state.isEmpty || state.hasPrefix("08") || state.hasPrefix("57P") || state == "25P03"
            // The server has become a standby.
            || state == "25006"
    }
    /// Another session held a lock for longer than this one waits.
    public var isLocked: Bool { state == "55P03" }
    /// Another session held a lock for too long, or an administrator has cancelled the statement.
    public var isHeldUp: Bool { isLocked || state == "57014" }
    /// A table is not there, as before a restore has made it.
    public var lacksTable: Bool { state == "42P01" }
    /// Whether the same may succeed later without anybody changing the store.
    public var isPassing: Bool { isLost || isHeldUp || lacksTable }
    /// It would have gone between what other servers do at the same moment.
    public var isRace: Bool { state == "40001" || state == "40P01" }
    public var isFull: Bool { state == "53100" }
    /// A table, column or schema is missing, is another program's, or may not be used. Somebody has to change the database.
    public var isMisfit: Bool { state.hasPrefix("42") || state == "3F000" }
    public var isUniqueViolation: Bool { state == "23505" }
    public var isForeignKeyViolation: Bool { state == "23503" }

    public var phrase: Phrase { "PostgreSQL: \(message)" }
    public var failure: CommandFailure {
        if isFull { return .full(phrase) }
        return !isLocked && (isRace || isHeldUp)
            ? CommandFailure(.temporary, code: "busy", phrase) : .inputOutput(phrase)
    }
}
