"""Transitions of annealed chains: each leaves p(z) exp(-beta d(x, f(z))) invariant, at a beta that is new at every step."""

from typing import Any, NamedTuple

from echo_tf.ais.target import Point, Target


class Moved(NamedTuple):
    """What a transition gives; P chains.

    point: where the chains are. momentum: (P, k).
    accepted: (P,) whether the proposal was taken.
    failed: (P,) whether its energy was not finite; such a proposal is never taken.
    """

    point: Point
    momentum: Any
    accepted: Any
    failed: Any


def persistent(target: Target, images, point: Point, momentum, beta, step_size, num_steps, memory, seed, factor=None) -> Moved:
    """Hamiltonian Monte Carlo whose momentum is refreshed in part: m <- memory m + sqrt(1 - memory^2) n, then a trajectory.

    A proposal that is not taken reverses the momentum, which keeps the joint law of z and momentum. With memory 0 it is plain
    Hamiltonian Monte Carlo. Value and gradient at the start are those that the last step left, kept apart by prior and
    distortion, so that a new beta costs nothing and num_steps gradients are all that a transition takes.

    Args:
        target: of the chains. images: (P, ...) of each chain.
        point, momentum: where the chains are.
        beta: scalar, or (P,) of each chain. step_size: (P, 1).
        num_steps: of the leapfrog integrator.
        memory: in [0, 1).
        seed: two integers.
        factor: (k, k), L of `echo_tf.ais.preconditioning`; None: the identity.

    Reference: Horowitz, "A generalized guided Monte Carlo algorithm" (1991); Neal, "MCMC using Hamiltonian dynamics" (2011),
    section 5.3.
    """
    import tensorflow as tf

    seeds = tf.random.split(seed, 2)
    noise = tf.random.stateless_normal(tf.shape(momentum), seeds[0], dtype=momentum.dtype)
    momentum = memory * momentum + (1 - memory**2) ** 0.5 * noise
    proposed, m = point, momentum
    m = m + 0.5 * step_size * _force(point, beta, factor)
    for i in range(num_steps):
        proposed = target.at(proposed.z + step_size * _stretched(m, factor), images)
        m = m + (0.5 if i == num_steps - 1 else 1.0) * step_size * _force(proposed, beta, factor)
    gained = _energy(point, momentum, beta) - _energy(proposed, m, beta)
    failed = ~tf.math.is_finite(gained)
    uniform = tf.random.stateless_uniform(tf.shape(gained), seeds[1], dtype=gained.dtype)
    accepted = ~failed & (tf.math.log(uniform) < gained)
    return Moved(_chosen(accepted, proposed, point), _where(accepted, m, -momentum), accepted, failed)


def tfp_hmc(target: Target, images, point: Point, momentum, beta, step_size, num_steps, memory, seed, factor=None) -> Moved:
    """The paper's transition, by `tfp.mcmc.HamiltonianMonteCarlo`; arguments as `persistent`, the last ones unused.

    The kernel's results are made anew at every beta. Those of the step before hold value and gradient at the beta before, with
    which acceptance is wrong (as in `tfp.mcmc.sample_annealed_importance_chain`).
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    def log_density(z):
        return target.log_prior(z) - beta * target.distortion(z, images)

    kernel = tfp.mcmc.HamiltonianMonteCarlo(log_density, step_size, num_steps)
    z, results = kernel.one_step(point.z, kernel.bootstrap_results(point.z), seed=seed)
    moved = point._replace(z=z, distortion=target.distortion(z, images))
    failed = ~tf.math.is_finite(results.log_accept_ratio)
    return Moved(moved, momentum, results.is_accepted, failed)


def _force(point, beta, factor):
    force = point.log_prior_gradient - beta[..., None] * point.distortion_gradient
    return force if factor is None else force @ factor


def _stretched(momentum, factor):
    import tensorflow as tf

    return momentum if factor is None else tf.matmul(momentum, factor, transpose_b=True)


def _energy(point, momentum, beta):
    import tensorflow as tf

    return beta * point.distortion - point.log_prior + 0.5 * tf.reduce_sum(momentum * momentum, -1)


def _where(chosen, one, other):
    import tensorflow as tf

    return tf.where(chosen[:, None] if len(one.shape) > 1 else chosen, one, other)


def _chosen(accepted, one: Point, other: Point):
    return Point(*(_where(accepted, a, b) for a, b in zip(one, other)))


TRANSITIONS = {"persistent": persistent, "tfp_hmc": tfp_hmc}
