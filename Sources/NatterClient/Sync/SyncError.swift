public import NatterLanguage
public import NatterModel

/// Why a sync ended without having come to its end, and without anything to show.
public enum SyncError: Error, PhraseConvertible {
    /// There was no answer, or it was a refusal.
    case api(APIError)
    /// Another store answers at this address than the one that the replica is of.
    case otherStore(expected: StoreID, found: StoreID?)
    case replica(ReplicaError)

    public var phrase: Phrase {
        switch self {
        case .api(let error): error.phrase
        case .otherStore(let expected, let found?):
            "the server has the store '\(found)', not '\(expected)'; 'natter login' makes it known"
        case .otherStore(let expected, nil):
            "the server does not say which store it has; '\(expected)' was expected"
        case .replica(let error): error.phrase
        }
    }
}
