public import NatterModel
internal import NatterSystem

/// Something that keeps a store from working as it should, for those who watch over it.
public enum StoreTrouble: Sendable, Equatable, PhraseConvertible {
    /// A write failed, so that the content of the disk is unknown. Nothing more is written.
    case writeFailed(String)
    case diskFull
    /// The data directory, which had this path at the start, is elsewhere now.
    case directoryMoved(String)
    /// Less than `Store.lowSpaceBytes` are free.
    case lowOnSpace
    /// A shared database does not take messages.
    case databaseAway
    /// Another session of a shared database holds a lock.
    case databaseLocked
    /// Messages can't be moved from the journal to log files.
    case cannotSeal(String)
    /// The search index is not kept up. Searches are slower, not wrong.
    case searchStopped(String)

    /// Whether messages can't be taken, or could not be for long.
    public var stopsMessages: Bool {
        switch self {
        case .lowOnSpace, .searchStopped: false
        default: true
        }
    }

    /// The label in metrics.
    public var name: String {
        switch self {
        case .writeFailed: "write_failed"
        case .diskFull: "disk_full"
        case .directoryMoved: "directory"
        case .lowOnSpace: "low_on_space"
        case .databaseAway, .databaseLocked: "database"
        case .cannotSeal: "sealer"
        case .searchStopped: "search_index"
        }
    }

    /// The names of all kinds.
    public static let names = [
        "write_failed", "disk_full", "low_on_space", "directory", "database", "sealer", "search_index",
    ]

    public var phrase: Phrase {
        switch self {
        case .writeFailed(let reason): "nothing more is written: \(reason)"
        case .diskFull: "the disk is full; messages are refused until there is room"
        case .directoryMoved(let path):
            "the data directory '\(path)' was moved or removed; messages are refused until it is back, or natterd is started where it is now"
        case .lowOnSpace:
            "the disk is low on space: less than 256 MiB are free; soon only single messages are taken, and then none"
        case .databaseAway: "the database does not answer; messages are refused until it does"
        case .databaseLocked: "another session holds a lock in the database; messages are refused until it is free"
        case .cannotSeal(let reason): "messages can't be moved to the log files: \(reason)"
        case .searchStopped(let reason): "the search index has stopped: \(reason)"
        }
    }
}

extension Store {
    /// All troubles at this moment.
    public func troubles() -> [StoreTrouble] {
        var found: [StoreTrouble] = []
        if let failure { found.append(.writeFailed(failure)) }
        let database = reserve.databaseTrouble ?? engine.trouble
        // Nothing tells how much space a directory has that is elsewhere.
        if case .directoryMoved? = database {
        } else {
            found += [database == .diskFull ? .diskFull : reserve.trouble].compactMap(\.self)
        }
        if let database, database != .diskFull { found.append(database) }
        if let reason = sealer.trouble { found.append(.cannotSeal(reason)) }
        if let reason = search.trouble { found.append(.searchStopped(reason)) }
        return found
    }

    /// Whether room on the disk is kept for a start in a directory.
    public static func hasReserve(in directory: String) -> Bool {
        (try? PosixDisk().information(directory + "/" + DiskReserve.name)) != nil
    }
}
