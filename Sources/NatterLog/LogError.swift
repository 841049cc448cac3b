public import NatterLanguage
public import NatterSystem

/// What can go wrong between a log and its reader.
public enum LogError: Error, Equatable, PhraseConvertible {
    /// A call to the system failed; what is on the disk may still be whole.
    case disk(DiskError)
    /// Bytes that are there are not what was written.
    case damaged(path: String, offset: UInt64, reason: Phrase)
    /// The file is whole, but of a format that this program does not know.
    case newerFormat(path: String, major: UInt16)
    /// A block that came over the network breaks a rule of the format.
    case malformed(reason: Phrase)

    public var phrase: Phrase {
        switch self {
        case .disk(let error): error.phrase
        case .damaged(let path, let offset, let reason): "damage in '\(path)' at byte \(offset): \(reason)"
        case .newerFormat(let path, let major):
            "'\(path)' has log format \(major), this program knows \(SegmentHeader.major); use a newer natter"
        case .malformed(let reason): "a block is malformed: \(reason)"
        }
    }
}

/// A rule of the format that bytes break, in words; whoever knows the file adds path and offset.
public struct FormatViolation: Error, Equatable {
    public let reason: Phrase
    public init(_ reason: Phrase) { self.reason = reason }
}
