internal import NatterClient

/// Which errors `send --queue` meets by keeping the message: those that time alone may mend.
enum QueueRule {
    static func allows(_ error: APIError) -> Bool {
        switch error {
        case .refused(let refusal): [429, 503, 507].contains(refusal.status)
        default: error.isNotReached || error.isOutcomeUnknown
        }
    }
}
