;; Sin: is a component, but no program. Expected: rejected, saying what it lacks.
(component)
