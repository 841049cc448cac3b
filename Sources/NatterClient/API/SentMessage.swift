/// What a server answers to a message that it took.
public struct SentMessage: Sendable {
    /// The message, in JSON.
    public let object: [UInt8]
    /// Whether it is a personal one whose recipient is not online.
    public let isRecipientAway: Bool

    public init(object: [UInt8], isRecipientAway: Bool = false) {
        (self.object, self.isRecipientAway) = (object, isRecipientAway)
    }
}
