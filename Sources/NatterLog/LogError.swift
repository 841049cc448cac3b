public import NatterModel
public import NatterSystem

/// Why a log cannot be read or written.
public enum LogError: FailureConvertible, Equatable {
    /// A system call failed. The file may still be good.
    case disk(DiskError)
    /// The file contains other bytes than those that were written.
    case damaged(path: String, offset: UInt64, reason: Phrase)
    /// The file is good, but its format is newer than this program.
    case newerFormat(path: String, major: UInt16)
    /// A block from the network breaks a rule of the format.
    case malformed(reason: Phrase)

    public var failure: CommandFailure {
        if case .disk(let error) = self { error.failure } else { .inputOutput(phrase) }
    }

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

/// A rule of the format that some bytes break. A caller that knows the file adds path and offset.
public struct FormatViolation: Error, Equatable {
    public let reason: Phrase
    /// Whether a later version may have written it.
    public let isNewer: Bool
    public init(_ reason: Phrase, isNewer: Bool = false) { (self.reason, self.isNewer) = (reason, isNewer) }
}

extension Array where Element == UInt8 {
    /// `withUnsafeBytes` that keeps the type of the thrown error.
    public func withUnsafeBytesTyped<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer { bytes throws(Failure) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}
