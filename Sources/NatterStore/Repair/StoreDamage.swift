public import NatterLanguage
public import NatterModel

/// Something in a data directory that is not as it was written.
public struct StoreDamage: Sendable, Equatable {
    /// The path of the file.
    public var file: String
    /// Bytes from the start of the file; nil where it is all of it, or nobody can tell.
    public var offset: UInt64?
    /// `general`, a group's name, `@alice,@bob`, or the id where there is no name.
    public var conversation: String?
    /// The messages that are lost by it; nil if none are.
    public var range: ClosedRange<Seq>?
    /// What is wrong, in words.
    public var problem: Phrase

    public init(
        file: String, offset: UInt64? = nil, conversation: String? = nil, range: ClosedRange<Seq>? = nil,
        problem: Phrase
    ) {
        (self.file, self.offset, self.conversation) = (file, offset, conversation)
        (self.range, self.problem) = (range, problem)
    }
}
