"""What every run of every kind shares: settings, studies, the runner, records, checkpoints, engines.

Nothing here knows a method, a metric or a figure: those are of the kinds (`echo_tf.kinds`). Nothing here imports Keras before a
run is performed.
"""
