public import NatterLanguage
/// Why a backup was not made, or not put back.
public enum BackupError: Error, Equatable, PhraseConvertible {
    /// There is something in the place where the backup should go.
    case occupied(String)
    /// The backup in that place is of another store.
    case otherStore(String)
    /// The backup would be part of what is backed up, or the other way round.
    case nested(String)
    case notABackup(String)
    case brokenOff(String)
    /// A backup that is not as it was written.
    case damaged(path: String, problem: Phrase)
    /// There is something in the data directory that a backup should be put into.
    case notEmpty(String)

    public var phrase: Phrase {
        switch self {
        case .occupied(let path):
            "'\(path)' holds something else than a backup; name a directory that is empty or does not exist"
        case .otherStore(let path):
            "'\(path)' holds a backup of another store; name a directory that is empty or does not exist"
        case .nested(let path): "'\(path)' and the data directory lie one in the other; name another directory"
        case .notABackup(let path):
            "'\(path)' is no finished backup; name a directory that 'natterd backup' has made to its end"
        case .brokenOff(let path): "the backup to '\(path)' was broken off; begin it again"
        case .damaged(let path, let problem): "the backup's file '\(path)' \(problem); take another backup"
        case .notEmpty(let path):
            "the data directory '\(path)' is not empty, and nothing is overwritten; name another by --data, or move it away"
        }
    }
}
