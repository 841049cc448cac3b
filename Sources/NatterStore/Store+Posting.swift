internal import NatterSystem
internal import NatterArchive
internal import NatterLog
internal import NatterModel

extension Store {
    public func post(
        _ messages: [NewMessage], by principal: Principal, stopAtRefusal: Bool,
        _ completion: @escaping @Sendable ([PostOutcome]) -> Void
    ) {
        submit(
            StoreWriter.Posting(
                messages: messages, principal: principal, stopAtRefusal: stopAtRefusal, completion: completion))
    }
}
