internal import NatterModel
internal import NatterStore
internal import Synchronization

/// The newest small answers of sync. All devices of an account that waited at the same place get the same answer, which is made
/// once.
final class LatestAnswers: Sendable {
    /// Everything that an answer depends on.
    struct Place: Equatable {
        let account: AccountID
        let scope: Scope
        let since: Timestamp?
        let form: SyncAnswer.Form
        /// As it was asked for.
        let cursor: String?
        /// Where the answer ends, and the commit of which it tells how much is unread.
        let end: StoreCursor
        let commit: Commit
    }

    struct Answer {
        let reply: Reply
        /// The messages in it, for the log.
        let sent: MessageTally
    }

    private static let capacity = 8
    private static let bytesLimit = 16 << 10

    private let answers = Mutex<[(place: Place, answer: Answer)]>([])

    subscript(place: Place) -> Answer? {
        get { answers.withLock { $0.first { $0.place == place }?.answer } }
        set {
            guard let newValue, case .bytes(let body) = newValue.reply.body, body.count <= LatestAnswers.bytesLimit
            else { return }
            answers.withLock { answers in
                if answers.count == LatestAnswers.capacity { answers.removeFirst() }
                answers.append((place, newValue))
            }
        }
    }
}
